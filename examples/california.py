"""California: what a house costs in a district, a number between bounds.

In: the table `california_housing.csv`. Out: the error in dollars, beside that of always guessing the mean;
the model as a file.
Run: `python examples/california.py california_housing.csv`, then `wiggly app homes.wiggly` for a form
"""

import sys

import pandas as pd

import wiggly as wg

PRICE = "median_house_value"


def main(source: str) -> None:
    """Train on prices in 100,000 dollars, so that errors are near 1, and tell the error in dollars."""
    wg.set_seed(42)
    df = pd.read_csv(source).assign(**{PRICE: lambda table: table[PRICE] / 1e5})
    dls = wg.TabularDataLoaders.from_df(df, y_names=PRICE, bs=256, seed=42)
    dls.show_batch(max_n=3)
    learn = wg.tabular_learner(dls, y_range=(0, 5.5), metrics=wg.rmse)
    learn.fit_one_cycle(8, 1e-2)
    learn.show_results(max_n=3)
    learn.export("homes.wiggly")
    preds, prices = learn.get_preds()
    error = (preds.squeeze() - prices).square().mean().sqrt().item()
    guess = (prices - dls.train_ds.targets[0].mean()).square().mean().sqrt().item()
    print(f"off by {error * 1e5:,.0f} dollars (root mean square); the mean of all by {guess * 1e5:,.0f}")


if __name__ == "__main__":
    main(sys.argv[1])
