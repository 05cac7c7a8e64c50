"""The registry, in a folder and in a bucket: states, history, writers at once, and seeding."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from diagnosis import durable
from diagnosis.artifacts import Card, Registry, open_artifact, storage_at
from diagnosis.errors import ArtifactRefused, DigestMismatch, RegistryError, RegistryUnavailable
from tests.fixtures.artifacts import variant

CHEST = "chest_xray_pneumonia"

# Not `fork`: this process may hold TensorFlow's threads, which do not survive one.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@pytest.fixture(params=["folder", "bucket"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry of each kind."""
    if request.param == "folder":
        return Registry(tmp_path / "registry")
    bucket = request.getfixturevalue("bucket")
    return Registry(storage_at(f"s3://{bucket}/models/", tmp_path / "cache"))


def _three(registry: Registry, tiny_artifact: Path, tmp_path: Path) -> Registry:
    for version in ("1", "2", "10"):
        registry.publish(variant(tiny_artifact, tmp_path / f"v{version}", version=version))
    return registry


@pytest.fixture
def three(registry: Registry, tiny_artifact: Path, tmp_path: Path) -> Registry:
    """A registry with versions 1, 2 and 10 published and none live."""
    return _three(registry, tiny_artifact, tmp_path)


@pytest.fixture
def in_folder(tiny_artifact: Path, tmp_path: Path) -> Registry:
    """The same in a folder, for what only a folder has."""
    return _three(Registry(tmp_path / "registry"), tiny_artifact, tmp_path)


def _spoil(folder: Path) -> None:
    path = folder / "model.keras"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.diseases() == ()
    assert registry.versions(CHEST) == ()
    assert registry.live_folder(CHEST) is None
    assert registry.stamp(CHEST) == ""
    with pytest.raises(RegistryError, match="no version"):
        registry.promote(CHEST, "1")


def test_publishing_copies_and_changes_no_state(three: Registry, tiny_artifact: Path) -> None:
    assert three.diseases() == (CHEST,)
    assert three.versions(CHEST) == ("1", "2", "10")
    assert three.state(CHEST).live is None
    published = open_artifact(three.folder(CHEST, "10"))
    assert published.keras == (tiny_artifact / "model.keras").read_bytes()
    assert published.card.version == "10"
    assert published.demo_images
    assert not list((three.folder(CHEST, "10").parent).glob(f"{durable.INCOMING}*"))


def test_reports_travel_with_the_artifact(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    source = variant(tiny_artifact, tmp_path / "v7", version="7")
    (source / "report.html").write_text("<p>figures</p>")
    (source / "notes.txt").write_text("not part of it")
    registry.publish(source)
    names = {path.name for path in registry.folder(CHEST, "7").iterdir()}
    assert "report.html" in names
    assert "notes.txt" not in names


def test_a_version_never_changes(three: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="exists already"):
        three.publish(tmp_path / "v1")


def test_a_refused_artifact_is_not_published(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    source = variant(tiny_artifact, tmp_path / "v1", version="1")
    _spoil(source)
    with pytest.raises(DigestMismatch):
        registry.publish(source)
    assert registry.diseases() == ()


def test_promote_and_roll_back_step_by_step(three: Registry) -> None:
    for version in ("1", "2", "10"):
        assert three.promote(CHEST, version).live == version
    assert three.live_folder(CHEST) == three.folder(CHEST, "10")
    assert three.rollback(CHEST) == "2"
    assert three.rollback(CHEST) == "1"
    with pytest.raises(RegistryError, match="No earlier version"):
        three.rollback(CHEST)
    three.promote(CHEST, "10")
    assert three.rollback(CHEST) == "1"
    events = [(e.action, e.version, e.previous) for e in three.state(CHEST).history]
    assert events == [
        ("promote", "1", None),
        ("promote", "2", "1"),
        ("promote", "10", "2"),
        ("rollback", "2", "10"),
        ("rollback", "1", "2"),
        ("promote", "10", "1"),
        ("rollback", "1", "10"),
    ]


def test_promoting_the_live_version_again_is_no_event(three: Registry) -> None:
    three.promote(CHEST, "1")
    stamp = three.stamp(CHEST)
    three.promote(CHEST, "1")
    assert three.stamp(CHEST) == stamp
    three.promote(CHEST, "2")
    assert three.stamp(CHEST) != stamp


def test_a_spoiled_version_does_not_go_live(three: Registry) -> None:
    three.promote(CHEST, "1")
    three.promote(CHEST, "2")
    _spoil(three.folder(CHEST, "10"))
    _spoil(three.folder(CHEST, "1"))
    for change in (
        lambda: three.promote(CHEST, "10"),
        lambda: three.shadow(CHEST, "10"),
        lambda: three.rollback(CHEST),
    ):
        with pytest.raises(ArtifactRefused):
            change()
    assert three.state(CHEST).live == "2"


def test_a_retired_version_is_out_of_use_until_it_is_promoted(three: Registry) -> None:
    three.promote(CHEST, "1")
    three.promote(CHEST, "2")
    three.promote(CHEST, "10")
    three.retire(CHEST, "2")
    assert three.state(CHEST).retired == ("2",)
    assert three.rollback(CHEST) == "1"
    three.retire(CHEST, "1")
    assert three.live_folder(CHEST) is None
    with pytest.raises(RegistryError, match="retired already"):
        three.retire(CHEST, "1")
    state = three.promote(CHEST, "2")
    assert (state.live, state.retired) == ("2", ("1",))


def test_a_shadow_is_neither_live_nor_retired(three: Registry) -> None:
    three.promote(CHEST, "1")
    assert three.shadow(CHEST, "2").shadow == "2"
    with pytest.raises(RegistryError, match="cannot be shadow"):
        three.shadow(CHEST, "1")
    assert three.promote(CHEST, "2").shadow is None
    three.shadow(CHEST, "10")
    assert three.retire(CHEST, "10").shadow is None
    with pytest.raises(RegistryError, match="cannot be shadow"):
        three.shadow(CHEST, "10")
    three.shadow(CHEST, "1")
    assert three.shadow(CHEST, None).shadow is None
    assert three.state(CHEST).live == "2"


@pytest.mark.parametrize("name", ["../x", "", "/etc", "A", "x/y", "..", "1"])
def test_names_that_are_paths_are_refused(three: Registry, name: str) -> None:
    with pytest.raises(RegistryError):
        three.state(name)
    with pytest.raises(RegistryError):
        three.folder(CHEST, name if name != "1" else "3")
    with pytest.raises(RegistryError):
        three.promote(CHEST, name if name != "1" else "01")


def test_a_damaged_state_is_said_and_not_overwritten(in_folder: Registry) -> None:
    in_folder.promote(CHEST, "1")
    path = in_folder.folder(CHEST, "1").parent / "registry.json"
    assert json.loads(path.read_text())["live"] == "1"
    path.write_text('{"live": ')
    for change in (lambda: in_folder.state(CHEST), lambda: in_folder.promote(CHEST, "2")):
        with pytest.raises(RegistryError, match="cannot be read"):
            change()
    assert path.read_text() == '{"live": '


def test_an_artifact_under_a_wrong_number_does_not_go_live(in_folder: Registry) -> None:
    in_folder.folder(CHEST, "10").rename(in_folder.folder(CHEST, "10").with_name("11"))
    with pytest.raises(ArtifactRefused, match="registry-place"):
        in_folder.promote(CHEST, "11")


def _publish_and_die(root: Path, source: Path, die_at: str, count: int) -> None:
    """Publish in a process that is killed at the n-th call of a step."""
    left = [count]
    original = getattr(os, die_at)

    def step(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(os, die_at, step)
    registry = Registry(root)
    registry.publish(source)
    registry.promote(CHEST, "1")


@pytest.mark.parametrize(("die_at", "count"), [("fsync", n) for n in range(11)] + [("mkdir", 2)])
def test_a_killed_writer_leaves_no_half_version(
    tiny_artifact: Path, tmp_path: Path, die_at: str, count: int
) -> None:
    """Killed at every step in turn, between publishing and being promoted."""
    root = tmp_path / "registry"
    process = PROCESSES.Process(target=_publish_and_die, args=(root, tiny_artifact, die_at, count))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    registry = Registry(root)
    for version in registry.versions(CHEST):
        open_artifact(registry.folder(CHEST, version))
    assert registry.state(CHEST).live in (None, "1")
    if not registry.versions(CHEST):
        registry.publish(tiny_artifact)
    registry.promote(CHEST, "1")
    assert registry.state(CHEST).live == "1"
    registry.shadow(CHEST, None)
    registry.retire(CHEST, "1")
    names = {path.name for path in (root / CHEST).iterdir()}
    assert names == {"1", ".lock", "registry.json"}


def _publish(root: Path, source: Path, answers: "multiprocessing.Queue[str]") -> None:
    try:
        answers.put(Registry(root).publish(source))
    except RegistryError as error:
        answers.put(error.detail)


def test_of_several_publishers_of_one_version_one_wins(tiny_artifact: Path, tmp_path: Path) -> None:
    answers = PROCESSES.Queue()
    racers = [
        PROCESSES.Process(target=_publish, args=(tmp_path / "registry", tiny_artifact, answers))
        for _ in range(4)
    ]
    for racer in racers:
        racer.start()
    told = sorted(answers.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(30)
    assert told == ["1", *[f"Version 1 of {CHEST} exists already."] * 3]
    open_artifact(Registry(tmp_path / "registry").folder(CHEST, "1"))


def _models(tiny_artifact: Path, folder: Path, *versions: str, disease: str = CHEST) -> Path:
    for version in versions:
        variant(tiny_artifact, folder / disease / version, version=version, disease=disease)
    return folder


def test_seeding_takes_over_what_ships(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    models = _models(tiny_artifact, tmp_path / "models", "2", "10")
    _models(tiny_artifact, models, "1", disease="malaria_cell")
    (models / "README.md").write_text("not a model")
    assert registry.seed(models) == ()
    assert registry.state(CHEST).live == "10"
    assert registry.state("malaria_cell").live == "1"
    assert registry.versions(CHEST) == ("2", "10")
    stamp = registry.stamp(CHEST)
    assert registry.seed(models) == ()
    assert registry.stamp(CHEST) == stamp


def test_seeding_does_not_change_a_state(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    models = _models(tiny_artifact, tmp_path / "models", "1")
    registry.seed(models)
    registry.retire(CHEST, "1")
    _models(tiny_artifact, models, "2")
    assert registry.seed(models) == ()
    assert registry.versions(CHEST) == ("1", "2")
    assert registry.state(CHEST).live is None


def test_a_spoiled_seed_is_reported_and_the_others_are_taken(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    models = _models(tiny_artifact, tmp_path / "models", "1", "2")
    _models(tiny_artifact, models, "1", disease="malaria_cell")
    _spoil(models / CHEST / "2")
    variant(tiny_artifact, models / CHEST / "3", version="4")
    problems = registry.seed(models)
    assert [one.folder.name for one in problems] == ["2", "3"]
    assert isinstance(problems[0].error, DigestMismatch)
    assert registry.state(CHEST).live == "1"
    assert registry.state("malaria_cell").live == "1"


def test_seeding_finishes_what_a_killed_seeding_began(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    models = _models(tiny_artifact, tmp_path / "models", "1")
    registry.publish(models / CHEST / "1")
    assert registry.seed(models) == ()
    assert registry.state(CHEST).live == "1"


def test_nothing_ships_is_no_problem(registry: Registry, tmp_path: Path) -> None:
    assert registry.seed(tmp_path / "missing") == ()


def test_a_registry_that_cannot_be_written_says_so(
    in_folder: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: nothing is left behind, and the state can still be read."""
    in_folder.promote(CHEST, "1")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryError, match="cannot be written") as error:
        in_folder.promote(CHEST, "2")
    assert "No space left" in str(error.value.cause)
    assert in_folder.state(CHEST).live == "1"
    assert not list(in_folder.folder(CHEST, "1").parent.glob(f"{durable.INCOMING}*"))


def test_reading_needs_no_lock_and_no_permission_to_write(in_folder: Registry) -> None:
    """While a writer holds the lock, and in a folder without one, readers go on."""
    in_folder.promote(CHEST, "1")
    folder = in_folder.folder(CHEST, "1").parent
    with durable.exclusive(folder / ".lock"):
        assert in_folder.state(CHEST).live == "1"
        assert in_folder.versions(CHEST) == ("1", "2", "10")
    (folder / ".lock").unlink()
    assert in_folder.live_folder(CHEST) == folder / "1"
    assert not (folder / ".lock").exists()


def test_a_promotion_is_not_made_past_a_live_version_that_cannot_be_looked_at(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is no reason to leave out the comparison with what is live."""
    registry = Registry(tmp_path / "registry")
    for version in ("1", "2"):
        registry.publish(variant(tiny_artifact, tmp_path / version, version=version))
    registry.promote(CHEST, "1")

    def away(disease: str, version: str) -> Card:
        raise RegistryUnavailable

    monkeypatch.setattr(registry, "card", away)
    with pytest.raises(RegistryUnavailable):
        registry.promote(CHEST, "2")
    assert registry.state(CHEST).live == "1"


def test_of_a_folder_that_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "not-mounted")
    with pytest.raises(RegistryUnavailable):
        registry.folder(CHEST, "1")
