from scripts import data_dictionary, erd


def test_the_data_dictionary_is_as_new_as_the_model() -> None:
    assert data_dictionary.TARGET.read_text(encoding="utf-8") == data_dictionary.render()


def test_the_diagrams_are_as_new_as_the_model() -> None:
    assert erd.TARGET.read_text(encoding="utf-8") == erd.render()
