"""Tests of reading one settings file."""

import pytest

from gateway.settings.source.yaml_source import UnreadableFile, read

LARGEST = 1024 * 1024


def refused(text: str | bytes, name: str = "a.yaml") -> UnreadableFile:
    with pytest.raises(UnreadableFile) as caught:
        read(text if isinstance(text, bytes) else text.encode(), name)
    return caught.value


def test_the_lines_of_keys_and_items_are_known() -> None:
    document = read(b"a: 1\nb:\n  c:\n    - x\n    - d: 2\n", "a.yaml")
    assert document.line(("b", "c", 1, "d")) == 5
    assert document.line(("b", "c", 0)) == 4


def test_a_missing_key_is_reported_at_the_line_of_its_section() -> None:
    document = read(b"a: 1\nb:\n  c: 1\n", "a.yaml")
    assert document.line(("b", "missing")) == 2


def test_the_word_no_and_octal_numbers_are_read_as_in_yaml_1_2() -> None:
    assert read(b"a: no\nb: 010\nc: off\n", "a.yaml").data == {"a": "no", "b": 10, "c": "off"}


def test_json_with_tabs_and_surrogate_pairs_is_read() -> None:
    document = read(b'{\n\t"a": "\\ud83d\\ude00",\n\t"b": [1]\n}', "a.json")
    assert document.data == {"a": "\U0001f600", "b": [1]}
    assert document.line(("b",)) == 3


def test_a_byte_order_mark_is_accepted() -> None:
    assert read(b"\xef\xbb\xbfa: 1\n", "a.yaml").data == {"a": 1}


def test_a_duplicate_key_is_reported_with_its_second_line() -> None:
    document = read(b"a: 1\nb: {c: 1}\na: 3\n", "a.yaml")
    assert document.repeated == ((("a",), 3),)
    assert document.data["a"] == 1


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "a": 2}', ("a",)),
        ('{"a": {"b": 1, "b": 2}}', ("a", "b")),
        ('{"a": 1, "\\u0061": 2}', ("a",)),
        ('{"a": [{"b": 1, "b": 2}]}', ("a", 0, "b")),
    ],
)
def test_a_duplicate_key_in_json_is_reported(text: str, path: tuple[str | int, ...]) -> None:
    assert read(text.encode(), "a.json").repeated == ((path, 1),)


def test_a_key_that_overrides_a_merged_one_is_no_duplicate() -> None:
    assert read(b"a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\n", "a.yaml").repeated == ()


@pytest.mark.parametrize("written", ["2024-02-30", "2024-01-01", "2024-01-01T10:00:00Z"])
def test_a_date_is_read_as_text(written: str) -> None:
    assert read(f"createdAt: {written}\n".encode(), "a.yaml").data == {"createdAt": written}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_an_invalid_number_in_json_is_refused(word: str) -> None:
    assert word in refused(f'{{"a": {word}}}', "a.json").text


@pytest.mark.attack("E3")
@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']\n",
        "a: !!python/name:os.system ''\n",
        "a: !custom {b: 1}\n",
        "a: !!set {b}\n",
        "a: !!binary aGk=\n",
        "%YAML 1.1\n---\na: no\n",
    ],
)
def test_tags_and_directives_are_refused(text: str) -> None:
    assert "not allowed" in refused(text).text


@pytest.mark.attack("E3")
def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "50000 values" in refused("\n".join(lines)).text


@pytest.mark.attack("E3")
def test_an_alias_that_refers_to_itself_is_refused() -> None:
    assert read(b"a: &a\n  b: *a\n", "a.yaml").data == {"a": {"b": None}}


@pytest.mark.attack("E3")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="lists"),
        pytest.param("a: " + "{b: " * 3000, id="sections"),
        pytest.param("a: " + "[" * 45 + "]" * 45, id="closed"),
        pytest.param("\n".join(" " * n + "a:" for n in range(60)), id="indented"),
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert refused(text).text == "is nested too deeply"


@pytest.mark.attack("E3")
def test_a_file_of_more_than_a_megabyte_is_refused() -> None:
    assert "1 MiB" in refused(b"#" * (LARGEST + 1)).text


@pytest.mark.parametrize(
    ("raw", "line", "word"),
    [
        (b"", 1, "empty"),
        (b"# only a comment\n", 1, "empty"),
        (b"a: \xff\n", 1, "UTF-8"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        (b"- a\n", 1, "section"),
        (b"text", 1, "section"),
        (b"a: 1\nb: [1\nc: 2\n", 3, "YAML"),
        (b"a: 1\n---\nb: 2\n", 2, "YAML"),
        (b"1: a\n", 1, "text"),
        (b"a: 1\n~: b\n", 2, "text"),
        (b"a: 1\nb: 2\n? [c]\n: d\n", 3, "text"),
        (b"a: \x00\n", 1, "control character"),
        (b"a: 1\nb: \x07\n", 2, "control character"),
        (b"a: 1\nb: " + b"9" * 5000 + b"\n", 2, "too long"),
        (b"a: 1\nb 2\nc: 3\n", 2, "YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused_with_its_line(raw: bytes, line: int, word: str) -> None:
    error = refused(raw)
    assert word in error.text
    assert error.line == line


def test_broken_json_is_reported_with_its_line() -> None:
    assert refused('{\n"a": 1,\n"b" 2}', "a.json").line == 3


def test_an_error_never_quotes_the_file() -> None:
    assert "hunter2" not in refused("password: 'hunter2\n").text
