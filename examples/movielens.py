"""MovieLens: what would this person like, and what do people like who liked this film?

In: `u.data` and `u.item` of MovieLens-100k. Out: films near to one, recommendations, the error of predicted
ratings, and a bundle: `wiggly app films.wiggly` opens a page.
Run: `python examples/movielens.py u.data u.item "Star Wars (1977)"`
"""

import sys

import pandas as pd

import wiggly as wg


def main(data: str, item: str, liked: str = "Star Wars (1977)") -> None:
    """Train, look at the error, ask."""
    wg.set_seed(42)
    ratings = pd.read_csv(data, sep="\t", header=None, names=["user", "movie", "rating", "when"])
    titles = pd.read_csv(
        item, sep="|", header=None, encoding="latin-1", usecols=[0, 1], names=["movie", "title"]
    )
    dls = wg.CollabDataLoaders.from_df(ratings.merge(titles), item_name="title", seed=42)
    dls.show_batch(max_n=3)
    learn = wg.collab_learner(dls, y_range=(0, 5.5))
    learn.fit_one_cycle(5)
    print(f"People who liked {liked}:")
    for title, cosine in learn.nearest(liked, n=5, least=50):
        print(f"  {cosine:.2f} {title}")
    print("User 42 may like:")
    for title, rating in learn.recommend(42, n=5, least=50):
        print(f"  {rating:.1f} {title}")
    learn.export("films.wiggly")
    print(f"ratings held back are off by {learn.validate()[1]:.3f} (root mean square)")


if __name__ == "__main__":
    main(*sys.argv[1:])
