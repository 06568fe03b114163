"""Values of queries in Docker's notations."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import parameters, versions
from engine.protocol.errors import ApiError
from engine.protocol.frames import Output, frame, split_frames
from engine.protocol.go_times import NEVER, log_time_text, parse_time, time_text, time_text_ns
from engine.protocol.registry_auth import RegistryAuth, parse_auth_header
from engine.protocol.versions import ApiVersion
from engine.server.routes import split_version


@pytest.mark.parametrize("text", ["1", "true", "True", "yes", "on", "x", " t "])
def test_everything_else_is_true(text: str) -> None:
    assert parameters.boolean(text)


@pytest.mark.parametrize("text", ["", "0", "no", "false", "FALSE", "none", " None "])
def test_false_is_one_of_five_words(text: str) -> None:
    assert not parameters.boolean(text)


def test_filters_have_two_forms() -> None:
    assert parameters.parse_filters('{"label": {"a=b": true, "c": false}, "id": ["x", "y"]}') == {
        "label": ["a=b"],
        "id": ["x", "y"],
    }
    assert parameters.parse_filters("") == {}


@pytest.mark.parametrize("text", ["x", "[]", '{"a": 1}', '{"a": [1]}', '{"a": null}', "{" * 10_000, '"a"'])
def test_filters_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parameters.parse_filters(text)
    assert caught.value.status == 400


def test_an_unknown_key_is_refused_with_dockers_words() -> None:
    with pytest.raises(ApiError, match=r"^invalid filter 'colour'$"):
        parameters.check_keys({"colour": ["red"]}, ["label"])


def test_a_boolean_filter_is_one_value() -> None:
    assert parameters.boolean_filter({"dangling": ["true"]}, "dangling", default=False)
    assert not parameters.boolean_filter({"dangling": ["0"]}, "dangling", default=True)
    assert parameters.boolean_filter({}, "dangling", default=True)
    for values in (["maybe"], ["true", "false"]):
        with pytest.raises(ApiError, match="invalid filter 'dangling="):
            parameters.boolean_filter({"dangling": values}, "dangling", default=False)


@given(st.text())
def test_any_text_is_filters_or_refused(text: str) -> None:
    try:
        parameters.parse_filters(text)
    except ApiError as error:
        assert error.status == 400


@given(st.text(alphabet="0123456789+-.eE x_١"))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    for parse in (parameters.integer, parameters.nanoseconds):
        try:
            parse("x", text)
        except ApiError as error:
            assert error.status == 400


def test_times_are_seconds_with_a_fraction() -> None:
    assert parameters.nanoseconds("since", "1795471598") == 1_795_471_598 * 10**9
    assert parameters.nanoseconds("since", "1795471598.000000001") == 1_795_471_598 * 10**9 + 1
    assert parameters.nanoseconds("since", "1.5") == 1_500_000_000
    assert parameters.nanoseconds("since", "") == 0


def test_versions_are_compared_as_numbers() -> None:
    assert ApiVersion.parse("1.9") < ApiVersion.parse("1.24") < versions.NEWEST
    assert versions.unsupported(ApiVersion(1, 24)) == ""
    assert versions.unsupported(ApiVersion(2, 0)).startswith("client version 2.0 is too new")
    assert split_version("/v1.41/containers/json") == ("1.41", "/containers/json")
    assert split_version("/volumes/v1.2/x") == ("", "/volumes/v1.2/x")
    with pytest.raises(ValueError, match="no version"):
        ApiVersion.parse("1..2")


@given(st.integers(min_value=1, max_value=4_000_000_000 * 10**9))
def test_times_are_read_as_they_are_written(at_ns: int) -> None:
    assert parse_time(time_text_ns(at_ns)) == at_ns
    assert parse_time(log_time_text(at_ns)) == at_ns


def test_times_are_written_as_go_writes_them() -> None:
    assert time_text(0) == NEVER
    assert time_text(1_795_471_887_820) == "2026-11-23T22:11:27.82Z"
    assert time_text(1_795_471_887_000) == "2026-11-23T22:11:27Z"
    assert log_time_text(1_795_471_887_820_000_000) == "2026-11-23T22:11:27.820000000Z"
    assert parse_time("2026-11-23T23:11:27+01:00") == 1_795_471_887 * 10**9
    assert parse_time(NEVER) == 0


@given(st.lists(st.tuples(st.sampled_from(Output), st.binary(min_size=1, max_size=50))))
def test_frames_are_split_as_they_were_made(frames: list[tuple[Output, bytes]]) -> None:
    assert split_frames(b"".join(frame(output, data) for output, data in frames)) == frames


def test_a_frame_is_as_recorded() -> None:
    assert frame(Output.STDOUT, b"hi\n") == b"\x01\0\0\0\0\0\0\x03hi\n"
    assert frame(Output.STDERR, b"") == b""


def test_credentials_are_base64url_with_or_without_padding() -> None:
    document = {"username": "ada", "password": "ÿ~?>", "serveraddress": "registry:5000"}
    text = base64.urlsafe_b64encode(json.dumps(document).encode()).decode()
    for form in (text, text.rstrip("="), text.replace("-", "+").replace("_", "/")):
        assert parse_auth_header(form) == RegistryAuth("ada", "ÿ~?>", "", "registry:5000")
    assert parse_auth_header("").is_empty
    assert parse_auth_header("e30=").is_empty
    assert "ÿ" not in repr(parse_auth_header(text))


@given(st.text())
def test_any_text_is_credentials_or_refused(text: str) -> None:
    try:
        parse_auth_header(text)
    except ApiError as error:
        assert error.status == 400
