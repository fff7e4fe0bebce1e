"""Reading configuration files: references, secrets, paths, versions and what cannot be read at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.config import ConfigPath, Draft, Mistake, MistakesError, Secret, json_schema, load
from tocsin.errors import ConfigError, ConfigProblem


class Table(BaseModel):
    """Strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Local(Table):
    """One kind of store."""

    type: Literal["local"] = Field(description="Kind.")
    folder: ConfigPath = Field(default=Path("store"), description="Folder.")


class Remote(Table):
    """Another kind of store."""

    type: Literal["remote"] = Field(description="Kind.")
    token: Secret = Field(description="Token.")


class Job(Table):
    """An element with a name that others use."""

    name: str = Field(description="Name.")
    after: str | None = Field(default=None, description="Job that runs before.")
    span: tuple[float, float] = Field(default=(0.0, 1.0), description="From, to.")


class Root(Table):
    """The whole file."""

    store: Annotated[Local | Remote, Field(discriminator="type")] = Field(
        default=Local(type="local"), description="Store."
    )
    jobs: list[Job] = Field(default=[], description="Jobs.")

    @model_validator(mode="after")
    def _names(self) -> Root:
        names = [job.name for job in self.jobs]
        wrong = [
            Mistake(("jobs", i, "after"), "must be the name of a job", names)
            for i, job in enumerate(self.jobs)
            if job.after is not None and job.after not in names
        ]
        if wrong:
            raise MistakesError(wrong)
        return self


def written(folder: Path, text: str) -> Path:
    file = folder / "root.toml"
    file.write_text(text, "utf-8")
    return file


def problems(folder: Path, text: str, **options: Any) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text), Root, **options)
    return caught.value.problems


def test_a_missing_file_is_one_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", Root)


def test_a_syntax_error_names_its_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\n[store\ntype = 'local'\n")
    assert problem.line == 2
    assert problem.allowed.startswith("not TOML, column 7: ")


def test_a_key_that_stands_twice_names_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\nstore = 1\nstore = 2\n")
    assert problem.line == 3


def test_an_unfinished_file_is_wrong_at_its_end(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\njobs = [\n")
    assert problem.line == 3


def test_bytes_that_are_no_utf8_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "root.toml"
    file.write_bytes(b"schema = 1\n\n# \xff\n")
    with pytest.raises(ConfigError, match=r"root.toml:3: must be UTF-8 text"):
        load(file, Root)


@pytest.mark.parametrize(
    ("line", "words"),
    [("", "required"), ("schema = 0", "must be 1"), ('schema = "1"', "must be 1"),
     ("schema = true", "must be 1"), ("schema = 7", "needs a newer one")],
)  # fmt: skip
def test_the_version_of_the_layout_is_checked(tmp_path: Path, line: str, words: str) -> None:
    (problem,) = problems(tmp_path, f"{line}\n")
    assert (problem.key, words in problem.allowed) == ("schema", True)


def test_references_take_values_from_the_environment_and_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_NAME", "night")
    (tmp_path / "token").write_text("from-file\n", "utf-8")
    text = (
        "schema = 1\n[store]\ntype = 'remote'\ntoken = '${file:token}'\n"
        "[[jobs]]\nname = 'a ${env:JOB_NAME} b $${env:JOB_NAME}'\n"
    )
    root = load(written(tmp_path, text), Root).value
    assert isinstance(root.store, Remote)
    assert root.store.token.reveal() == "from-file"
    assert root.jobs[0].name == "a night b ${env:JOB_NAME}"


def test_a_reference_to_nothing_is_a_problem_and_is_not_judged_again(tmp_path: Path) -> None:
    text = (
        "schema = 1\n[store]\ntype = 'remote'\ntoken = '${file:absent}'\n"
        "[[jobs]]\nname = '${env:TOCSIN_NOT_SET}'\nafter = '${vault:x}'\n"
    )
    found = problems(tmp_path, text)
    assert [(p.line, p.key) for p in found] == [
        (4, "store.token"), (6, "jobs[0].name"), (7, "jobs[0].after"),
    ]  # fmt: skip
    assert "No such file" in found[0].allowed
    assert "TOCSIN_NOT_SET is not set" in found[1].allowed
    assert "${env:NAME} or ${file:PATH}" in found[2].allowed


def test_what_came_from_outside_the_file_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDER", "hunter2")
    text = "schema = 1\n[store]\ntype = 'local'\nfodler = '${env:FOLDER}'\n"
    (problem,) = problems(tmp_path, text)
    assert problem.value == '"${env:FOLDER}"'
    assert problem.nearest == "folder"


def test_a_secret_shows_itself_nowhere() -> None:
    remote = Remote(type="remote", token=Secret("hunter2"))
    shown = [repr(remote), str(remote), f"{remote.token}", remote.model_dump_json()]
    assert all("hunter2" not in text and "***" in text for text in shown)
    assert remote.token.reveal() == "hunter2"


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    text = "schema = 1\n[store]\ntype = 'local'\nfolder = 'deep/store'\n"
    loaded = load(written(tmp_path, text), Root)
    assert isinstance(loaded.value.store, Local)
    assert loaded.value.store.folder == tmp_path / "deep" / "store"
    assert loaded.dir == tmp_path


def test_a_wrong_kind_of_table_names_the_kinds(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\n[store]\ntype = 'locla'\n")
    assert (problem.line, problem.key, problem.nearest) == (3, "store.type", "local")
    assert problem.allowed == 'must be one of "local", "remote"'
    (problem,) = problems(tmp_path, "schema = 1\n[store]\nfolder = 'x'\n")
    assert (problem.line, problem.key) == (2, "store.type")


def test_mistakes_inside_a_chosen_kind_have_plain_paths(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\n[store]\ntype = 'remote'\ntoken = 5\n")
    assert (problem.line, problem.key, problem.value) == (4, "store.token", "***")


def test_a_table_where_a_value_belongs_is_not_printed(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\n[[jobs]]\nname = { password = 'hunter2' }\n")
    assert str(problem).endswith("jobs[0].name = a table: must be text (Name)")


def test_a_list_of_the_wrong_size_says_what_it_holds(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\n[[jobs]]\nname = 'a'\nspan = [1, 2, 3]\n")
    assert (problem.line, problem.value) == (4, "[1, 2, 3]")
    assert problem.allowed == "must be a list of 2 (a number, a number) (From, to)"


def test_a_list_that_is_long_enough_is_not_called_too_short_for_its_wrong_elements(
    tmp_path: Path,
) -> None:
    class Jobs(Table):
        """At least one."""

        jobs: tuple[Job, ...] = Field(min_length=1, description="Jobs.")

    def told(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(written(tmp_path, text), Jobs)
        return [p.key for p in caught.value.problems]

    assert told("schema = 1\n[[jobs]]\nnam = 'a'\n[[jobs]]\nnam = 'b'\n") == [
        "jobs[0].nam",
        "jobs[1].nam",
    ]
    assert told("schema = 1\njobs = []\n") == ["jobs"]


def test_a_rooms_own_mistakes_have_lines_and_nearest_names(tmp_path: Path) -> None:
    text = "schema = 1\n[[jobs]]\nname = 'wash'\n[[jobs]]\nname = 'dry'\nafter = 'wahs'\n"
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.key, problem.value) == (6, "jobs[1].after", '"wahs"')
    assert problem.nearest == "wash"


def test_rules_across_tables_are_told_together_with_everything_else(tmp_path: Path) -> None:
    def cross(draft: Draft) -> Iterable[Mistake]:
        assert list(draft.valid["jobs"]) == [1]
        for i, job in enumerate(draft.raw["jobs"]):
            if job.get("name") == "root":
                yield Mistake(("jobs", i, "name"), "that name is taken")

    text = "schema = 1\nextra = 1\n[[jobs]]\nnam = 3\n[[jobs]]\nname = 'root'\n"
    found = problems(tmp_path, text, cross=cross, resolve={"jobs": lambda _: Job})
    assert [(p.line, p.key) for p in found] == [
        (2, "extra"),
        (4, "jobs[0].nam"),
        (6, "jobs[1].name"),
    ]


def test_a_resolver_may_say_itself_what_is_wrong(tmp_path: Path) -> None:
    def resolve(table: dict[str, Any]) -> type[BaseModel] | None:
        if table.get("name") != "known":
            raise MistakesError([Mistake(("name",), "no such driver", ["known"])])
        return Job

    text = "schema = 1\n[[jobs]]\nname = 'knwon'\n[[jobs]]\nname = 'known'\nspan = 3\n"
    found = problems(tmp_path, text, resolve={"jobs": resolve})
    assert [(p.line, p.key, p.nearest) for p in found] == [
        (3, "jobs[0].name", "known"), (6, "jobs[1].span", ""),
    ]  # fmt: skip


def test_an_element_that_is_no_table_is_a_problem(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "schema = 1\njobs = [3]\n", resolve={"jobs": lambda _: Job})
    assert (problem.line, problem.key, problem.allowed) == (2, "jobs[0]", "must be a table")


def test_the_origin_of_a_value_is_known_after_loading(tmp_path: Path) -> None:
    file = written(tmp_path, "schema = 1\n\n[[jobs]]\nname = 'a'\n")
    loaded = load(file, Root)
    assert loaded.origin("jobs", 0, "name") == f"{file}:4"
    assert loaded.origin("jobs", 0, "after") == f"{file}:3"
    late = loaded.problem(("jobs", 0, "name"), "no such profile", value='"a"')
    assert str(late) == f'{file}:4: jobs[0].name = "a": no such profile'


def test_windows_line_ends_do_not_move_lines(tmp_path: Path) -> None:
    file = tmp_path / "root.toml"
    file.write_bytes(b"schema = 1\r\n\r\n[[jobs]]\r\nnmae = 'a'\r\n")
    with pytest.raises(ConfigError) as caught:
        load(file, Root)
    assert [p.line for p in caught.value.problems] == [4]


def test_the_json_schema_asks_for_the_version_and_describes_every_key() -> None:
    schema = json_schema(Root)
    assert schema["required"][0] == "schema"
    assert schema["properties"]["schema"]["const"] == 1
    assert schema["$defs"]["Remote"]["properties"]["token"]["writeOnly"] is True
