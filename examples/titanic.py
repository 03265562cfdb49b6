"""Titanic: who survived; trains on one file, predicts another, and writes the answers.

In: `titanic_train.csv` and `titanic_test.csv` of Kaggle's competition. Out: a prediction for every passenger
of the second; the model as a file.
Run: `python examples/titanic.py titanic_train.csv titanic_test.csv answers.csv`, then `wiggly app
titanic.wiggly` for a form to fill in
"""

import sys

import pandas as pd

import wiggly as wg


def read(file: str) -> pd.DataFrame:
    """The table with what names and cabins tell in place of them."""
    df = pd.read_csv(file, index_col="PassengerId")
    df = df.assign(Title=df["Name"].str.extract(r", (\w+)", expand=False), Deck=df["Cabin"].str[0])
    return df.drop(columns=["Name", "Cabin", "Ticket"])


def main(train: str, test: str, answers: str) -> None:
    """Train, look at the score, predict the second file."""
    wg.set_seed(42)
    dls = wg.TabularDataLoaders.from_df(read(train), y_names="Survived", seed=42)
    dls.show_batch(max_n=3)
    learn = wg.tabular_learner(dls, metrics=wg.accuracy)
    learn.fit_one_cycle(8, 5e-3)
    learn.export("titanic.wiggly")
    new = read(test)
    probs, _ = learn.get_preds(dl=dls.test_dl(new))
    new.assign(Survived=probs.argmax(1).numpy())[["Survived"]].to_csv(answers)
    print(f"{probs.argmax(1).sum()} of {len(new)} passengers are said to have survived")


if __name__ == "__main__":
    main(*sys.argv[1:4])
