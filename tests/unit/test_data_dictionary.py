from scripts import data_dictionary


def test_the_data_dictionary_is_as_new_as_the_model() -> None:
    assert data_dictionary.TARGET.read_text(encoding="utf-8") == data_dictionary.render()
