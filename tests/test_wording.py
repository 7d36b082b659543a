from saccade.wording import counted, meant


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "page") for number in (0, 1, 2, 1234)] == ["0 pages", "1 page", "2 pages", "1,234 pages"]
    assert counted(2, "pass", "passes") == "2 passes" and counted(1, "pass", "passes") == "1 pass"


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    assert meant("loks", ["levels", "looks", "pruned"]) == "Did you mean 'looks'? "
    assert meant("ANLS", ["anls", "vqa"]) == "Did you mean 'anls'? "
    assert meant("nothing_like_it", ["looks"]) == meant("looks", []) == ""
    assert meant(True, ["anls"]) == meant(3, ["anls"]) == "", "what YAML makes of `on:` and `3:`"
