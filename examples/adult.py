"""Adult: whether a person earns 50,000 dollars a year, from eight categories and six numbers.

In: the table `adult.csv`. Out: the kinds of its columns, the score, the model as a file, and what that says
of three people.
Run: `python examples/adult.py adult.csv`, then `wiggly app adult.wiggly` for a form to fill in
"""

import sys

import wiggly as wg


def main(source: str) -> None:
    """Train on four fifths of the rows, then ask about single people."""
    wg.set_seed(42)
    dls = wg.TabularDataLoaders.from_csv(source, y_names="salary", bs=512, seed=42)
    dls.show_batch(max_n=3)
    learn = wg.tabular_learner(dls, metrics=wg.accuracy)
    learn.fit_one_cycle(3, 1e-2)
    learn.show_results(max_n=3)
    print(f"right about {learn.validate()[1]:.1%} of {len(dls.valid_ds):,} people that it never saw")
    model = wg.load_bundle(learn.export("adult.wiggly"))
    person = dls.table.valid.decode().iloc[0].to_dict()
    for hours in (20, 40, 60):
        probs = model.predict({**person, "hours-per-week": hours}).probs
        print(f"{hours} hours a week: {probs[1]:.0%} for {model.vocab[1]}")


if __name__ == "__main__":
    main(sys.argv[1])
