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


def test_many_problems_of_one_kind_are_one_sentence_with_their_number_and_two_examples() -> None:
    problems = ProblemCollector("tc1")
    for row in range(SHOWN_PER_KIND + 7):
        problems.add("non-numeric cells", "expr_mat.csv", f"row {row + 2}", "holds 'x'", "Write a number")
    problems.count_unshown("non-numeric cells", "expr_mat.csv", 10)
    with pytest.raises(LandingError) as caught:
        problems.raise_if_any()
    assert str(caught.value).splitlines()[1:] == [
        f"  1. expr_mat.csv: {SHOWN_PER_KIND + 17} non-numeric cells, such as row 2 holds 'x'; row 3 holds 'x'. "
        "Write a number."
    ]
    assert len(caught.value.full_list().splitlines()) == SHOWN_PER_KIND + 1
    assert caught.value.full_list().endswith("expr_mat.csv: and 17 more non-numeric cells.\n")


def test_however_many_causes_the_error_has_15_lines_at_most() -> None:
    problems = ProblemCollector("tc1")
    for number in range(40):
        problems.add(f"kind {number}", "plate_map.csv", "row 2", f"holds {number}", "Correct it")
    with pytest.raises(LandingError) as caught:
        problems.raise_if_any()
    # One line more is left for the command that names the list.
    assert len(str(caught.value).splitlines()) == 14
    assert str(caught.value).splitlines()[-1] == "  and 28 more; mend these first"


def test_without_a_problem_nothing_is_raised() -> None:
    ProblemCollector("tc1").raise_if_any()


def test_quoted_names_stay_on_one_line_and_short() -> None:
    assert quoted("α\nβ\x00") == "'α\\nβ\\x00'"
    assert len(quoted("x" * 10_000)) < 100
