"""How problems are told."""

import pytest

from tcell_assets.landing.problems import SHOWN_PER_KIND, LandingError, Problem, ProblemCollector, quoted


def test_a_problem_is_one_line_with_file_place_finding_and_mend() -> None:
    problem = Problem("scores_3_z.csv", "row 5, column 2 ('cytoscore_z')", "holds 'abc'", "Write a number")
    assert str(problem) == "scores_3_z.csv, row 5, column 2 ('cytoscore_z'): holds 'abc'. Write a number."


def test_all_problems_of_a_batch_are_told_in_one_numbered_error() -> None:
    problems = ProblemCollector("tc1")
    problems.add("missing files", "well_id.csv", "", "is missing", "Add the file")
    problems.add("missing files", "meta_id.csv", "", "is missing", "Add the file")
    with pytest.raises(LandingError) as caught:
        problems.raise_if_any()
    assert str(caught.value).splitlines() == [
        "batch 'tc1' cannot be read, 2 problems:",
        "  1. well_id.csv: is missing. Add the file.",
        "  2. meta_id.csv: is missing. Add the file.",
    ]


def test_of_many_problems_of_one_kind_the_first_are_shown_and_the_rest_counted() -> None:
    problems = ProblemCollector("tc1")
    for row in range(SHOWN_PER_KIND + 7):
        problems.add("non-numeric cells", "expr_mat.csv", f"row {row + 2}", "holds 'x'", "Write a number")
    problems.count_unshown("non-numeric cells", "expr_mat.csv", 10)
    with pytest.raises(LandingError) as caught:
        problems.raise_if_any()
    assert len(caught.value.problems) == SHOWN_PER_KIND + 1
    assert str(caught.value).endswith("expr_mat.csv: and 17 more non-numeric cells.")


def test_without_a_problem_nothing_is_raised() -> None:
    ProblemCollector("tc1").raise_if_any()


def test_quoted_names_stay_on_one_line_and_short() -> None:
    assert quoted("α\nβ\x00") == "'α\\nβ\\x00'"
    assert len(quoted("x" * 10_000)) < 100
