import numpy as np

from tests.support.scored import only, some
from xlift.leaderboard.analysis.comparisons import tabulate_tasks
from xlift.leaderboard.analysis.rankings import ONE_SEED_RANK, rank_overall, tabulate_ranks


def test_no_rank_claims_a_winner_from_one_seed() -> None:
    base, once = some("base", 5), some("m", 55, seed=0)
    table = tabulate_ranks([base, once])
    assert {row["model"]: (row["rank"], row["tied"]) for row in table.to_dict("records")} == {"m": (1, ("base",)), "base": (1, ("m",))}
    assert [row["note"] for row in table.to_dict("records")] == [ONE_SEED_RANK, ""]
    twice = tabulate_ranks([base, once, some("m", 54, seed=1)])
    assert {row["model"]: row["rank"] for row in twice.to_dict("records")} == {"m": 1, "base": 2}
    prompt = tabulate_ranks([base, some("m", 55)])
    assert {row["model"]: row["rank"] for row in prompt.to_dict("records")} == {"m": 1, "base": 2}, "what was not trained has no seeds"
    lifts = tabulate_tasks([base, once])
    assert only(lifts, method="m")["one_seed"] and not only(tabulate_tasks([base, some("m", 55)]), method="m")["one_seed"]
    overall, _ = rank_overall({"base": [base], "m": [once], "n": [some("n", 55, seed=0), some("n", 54, seed=1)]})
    assert {row["model"]: row["rank"] for row in overall.to_dict("records")} == {"m": 1, "n": 1, "base": 2}


def test_scores_by_document_that_are_gone_cost_their_own_row_its_rank() -> None:
    lost = {("s", "m"): {"xlift_mgsm_direct": "no scores by document of xlift_mgsm_direct_fr: not ranked"}}
    table = tabulate_ranks([some("base", 20), some("m", 40), some("n", 55)], average=True, lost=lost)
    found = {row["model"]: (row["rank"], row["note"]) for row in table.to_dict("records")}
    assert found["n"] == (1, "") and found["base"] == (2, "") and np.isnan(found["m"][0])
    assert found["m"][1] == "no scores by document of xlift_mgsm_direct_fr: not ranked"
