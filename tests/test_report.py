"""The report: the page has what the results have, and the film in it plays in a real browser.

Law: a browser is asked only about what it shows, and waited for with a limit. With
GOSSIPGROUPS_BROWSER=required these tests fail, and are not skipped, where Chromium is missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from sims.engine import Simulation
from sims.experiments import NAMES
from sims.experiments.experiment import RUN, Scale
from sims.experiments.journal import CASES
from sims.report import __main__ as command
from sims.report.document import names_in
from sims.report.film import KINDS, LOST, Film
from sims.report.page import page
from sims.report.results import Found, Missing, find
from sims.report.scenario import FIRST_SIDE, LINE, NODES, Scenario, filmed
from sims.sweep import Where
from tests.tiny_experiment import EXPERIMENT

ROOT = Path(__file__).parent.parent
SEED = 7
WAIT = 15.0
"""Seconds that the browser may take for anything."""


@pytest.fixture(scope="module")
def film() -> Film:
    return filmed(SEED)


# The film.


def held_at(film: Film, time: int) -> dict[int, tuple[int, str, int, int]]:
    """What each running node holds: state, statuses, members seen, settled."""
    conditions = {node: what for at, node, what in film.conditions if at <= time}
    notes = {note[1]: note[2:] for note in film.held if note[0] <= time}
    return {node: note for node, note in notes.items() if conditions[node] != "down"}


def chapter(film: Film, start: str) -> int:
    """When a part begins."""
    return next(at for at, title in film.chapters if title.startswith(start))


def test_the_film_is_in_the_order_of_time(film: Film) -> None:
    for track in (film.chapters, film.sides, film.conditions, film.held, film.told, film.datagrams):
        times = [note[0] for note in track]
        assert times, film.seed
        assert times == sorted(times), film.seed
        assert times[0] >= 0, film.seed
        assert times[-1] <= film.end + 1, film.seed
    assert all(arrives == LOST or sent < arrives for sent, arrives, *_ in film.datagrams)


def test_the_film_notes_no_state_twice(film: Film) -> None:
    for node in range(NODES):
        notes = [note[2:] for note in film.held if note[1] == node]
        assert all(one != next_ for one, next_ in pairwise(notes)), film.nodes[node]


def test_the_film_shows_every_kind_of_datagram(film: Film) -> None:
    kinds = Counter(KINDS[kind] for *_, kind in film.datagrams)
    assert all(kinds[kind] > 10 for kind in KINDS), kinds


def test_the_film_shows_each_part(film: Film) -> None:
    stall, refute, part = (
        chapter(film, start) for start in ("node-4 stalls", "node-4 goes", "The network p")
    )
    heal = chapter(film, "The network heals")
    assert all(note[1][7] == "d" for note in held_at(film, stall).values()), "the crash is known"
    others = {node: note for node, note in held_at(film, refute).items() if node != 3}
    assert all(note[1][3] == "s" for note in others.values()), "all suspect the stalled node"
    assert all(note[1][3] == "a" for note in held_at(film, part).values()), "it has refuted"
    assert not any(note[3][3] == "d" for note in film.held if note[0] < part), "nobody took it for dead"
    parted = held_at(film, heal)
    one, other = (
        {note for node, note in parted.items() if (node < FIRST_SIDE) is side} for side in (True, False)
    )
    assert len(one) == len(other) == 1, "each side holds one state, settled"
    assert one.isdisjoint(other)
    lost = [
        source
        for sent, arrives, source, target, _ in film.datagrams
        if arrives == LOST and part < sent < heal
    ]
    assert lost, "datagrams are lost between the sides"
    at_rest = set(held_at(film, film.end).values())
    # Eight have joined, one of them has crashed, one left, and a ninth joined.
    assert {(note[1].replace("a", ""), note[2], note[3]) for note in at_rest} == {("d", 7, 1)}
    assert len(at_rest) == 1
    assert len(held_at(film, film.end)) == NODES - 1
    assert film.told[-1][0] > heal, "settled changes are told after the heal"


def test_the_film_shows_what_befalls_processes(film: Film) -> None:
    course = {node: [what for _, each, what in film.conditions if each == node] for node in range(NODES)}
    assert course.pop(3) == ["up", "paused", "up"]
    assert course.pop(7) == ["up", "down"]
    assert all(each == ["up"] for each in course.values())


def test_the_camera_changes_nothing(film: Film) -> None:
    titles: list[str] = []
    simulation = Simulation(SEED, line=LINE)
    Scenario(simulation, titles.append).play()
    assert simulation.trace_hash == film.trace
    assert titles == [title for _, title in film.chapters]


def test_one_seed_gives_one_film(film: Film) -> None:
    code = f"from sims.report.scenario import filmed; print(filmed({SEED}).json())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == film.json()
    assert filmed(SEED + 1).trace != film.trace


# The results, the page and the document.


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one whole run."""
    folder = tmp_path_factory.mktemp("results")
    EXPERIMENT.carry_out(Scale(quick=True, seed=1), Where(), folder / "tiny")
    return folder


@pytest.fixture
def found(results: Path, monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    monkeypatch.setattr("sims.report.results.load", lambda name: replace(EXPERIMENT, name=name))
    return find(results, ["tiny"])[0]


def test_what_is_there_and_what_is_missing(results: Path, found: list[Found], tmp_path: Path) -> None:
    shutil.copytree(results / "tiny", tmp_path / "broken")
    (tmp_path / "broken" / RUN).rename(tmp_path / "broken" / CASES)
    shutil.copytree(results / "tiny", tmp_path / "whole")
    whole, missing = find(tmp_path, ["whole", "broken", "absent"])
    assert [each.experiment.name for each in whole] == ["whole"]
    assert missing == [Missing("broken", "broken off"), Missing("absent", "not run")]
    assert [each.command for each in missing] == [
        "python -m sims.experiments.broken --resume",
        "python -m sims.experiments.absent",
    ]
    assert whole[0].command == "python -m sims.experiments.tiny --quick --seed 1"
    assert re.fullmatch(
        r"gossipgroups [^,]+(, commit [\w.-]+)?, CPython \S+, 6 cases, \d+ seconds", whole[0].facts
    )


@pytest.mark.parametrize("damage", ["{}", "no json", "[]"])
def test_a_run_that_cannot_be_read_is_named(
    found: list[Found], results: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    (tmp_path / "tiny" / RUN).write_text(damage)
    (tmp_path / "tiny").rename(tmp_path / NAMES[0])
    out = tmp_path / "page.html"
    outcome = CliRunner().invoke(command.main, ["--results", str(tmp_path), "--out", str(out)])
    assert not out.exists()
    assert outcome.exit_code == 1
    assert f"{tmp_path / NAMES[0]} holds no run that this version can read" in outcome.output
    assert f"Run it again: python -m sims.experiments.{NAMES[0]}" in outcome.output


class Elements(HTMLParser):
    """The elements of a page with their attributes, its text, and whether each one is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        # The shapes of the legend's samples are made by the script, so every element here has its end.
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_tables_plots_commands_and_gaps(found: list[Found], film: Film) -> None:
    text = page(found, [Missing("swim", "not run")], film)
    read = Elements(text)
    for part in (
        "Start <at once>",
        "A note.",
        "A start <small>",
        "Second paragraph.",
        "Beside: nobody & nothing",
        "python -m sims.experiments.tiny --quick --seed 1",
        "CPython",
        "swim, not run",
        "python -m sims.experiments.swim",
    ):
        assert part in read.text, part
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    plots = [attributes["src"] or "" for tag, attributes in read.elements if tag == "img"]
    assert [plot.partition(",")[0] for plot in plots] == ["data:image/svg+xml;base64"]


def test_the_page_loads_nothing(found: list[Found], film: Film) -> None:
    read = Elements(page(found, [], film))
    for tag, attributes in read.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:", "#")), f"<{tag} {name}={value}>"
    policies = [
        each["content"] for tag, each in read.elements if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert "default-src 'none'" in str(policies[0])


def test_a_film_cannot_end_its_script(film: Film) -> None:
    text = page([], [], replace(film, chapters=((0, "</script><b>"),)))
    assert "</script><b>" not in text
    record = text.partition('id="record">')[2].partition("</script>")[0]
    assert json.loads(record)["chapters"] == [[0, "</script><b>"]]


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    outcome = CliRunner().invoke(command.main, ["--results", str(tmp_path), "--out", str(out), "--seed", "3"])
    assert outcome.exit_code == 0, outcome.output
    assert f"{out}: 0 of {len(NAMES)} experiments" in outcome.stdout
    assert [line.partition(":")[0] for line in outcome.stderr.splitlines()] == list(NAMES)
    assert "12 nodes with seed 3" in out.read_text("utf-8")


def test_the_command_fills_the_document(
    found: list[Found], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = NAMES[0]
    shutil.copytree(results / "tiny", tmp_path / name)
    document = tmp_path / "results.md"
    frame = (
        "# Head\n\nBefore.\n\n<!-- tables: {} -->\n{}<!-- end -->\n\nAfter.\n\n"
        "<!-- tables: rapid -->\nold\n<!-- end -->\n"
    )
    document.write_text(frame.format(name, "old\n"), "utf-8")
    arguments = ["--results", str(tmp_path), "--document", str(document)]
    for _ in range(2):  # the second time changes nothing
        outcome = CliRunner().invoke(command.main, arguments)
        assert outcome.exit_code == 0, outcome.output
        part = (
            f"\n```sh\n{found[0].command}\n```\n\n{found[0].facts}.\n\n"
            f"{(tmp_path / name / 'tables.md').read_text('utf-8').strip()}\n\n"
        )
        assert document.read_text("utf-8") == frame.format(name, part)
        assert list(tmp_path.glob("*.html")) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no place for"),
        ("<!-- tables: swim -->\n", "do not pair"),
        ("<!-- end -->\n<!-- tables: swim -->\n", "do not pair"),
        ("<!-- tables: swim -->\n<!-- tables: rapid -->\n<!-- end -->\n<!-- end -->\n", "do not pair"),
    ],
)
def test_a_document_without_its_markers_is_left_alone(
    found: list[Found], results: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    shutil.copytree(results / "tiny", tmp_path / "swim")
    document = tmp_path / "results.md"
    document.write_text(text)
    outcome = CliRunner().invoke(command.main, ["--results", str(tmp_path), "--document", str(document)])
    assert outcome.exit_code == 1
    assert complaint in outcome.output
    assert document.read_text() == text


def test_the_results_document_has_a_place_for_every_experiment() -> None:
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert names_in(text) == list(NAMES)


# In a browser.


class Player:
    """The page in Chromium, as its reader sees it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self._url = url

    def open(self, motion: str = "no-preference", width: int = 1000, height: int = 1400) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": motion}]}
        )
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        self.browser.get(self._url)

    def find(self, name: str) -> WebElement:
        return self.browser.find_element("id", name)

    @property
    def time(self) -> int:
        """The time shown, in milliseconds."""
        match = re.fullmatch(r"(\d+)\.(\d\d) of \d+\.\d\d s", self.find("time").text)
        assert match, self.find("time").text
        return int(match[1]) * 1000 + int(match[2]) * 10

    @property
    def picture(self) -> str:
        """What the canvas shows."""
        return str(self.browser.execute_script("return document.getElementById('stage').toDataURL()"))

    @property
    def table(self) -> list[list[str]]:
        rows: list[list[str]] = self.browser.execute_script(
            "return [...document.querySelectorAll('#nodes tr')]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return rows

    def wait_past(self, time: int) -> None:
        WebDriverWait(self.browser, WAIT, 0.02).until(lambda _: self.time > time, f"stays at {self.time} ms")

    def frames(self, count: int = 10) -> None:
        """Let the browser draw so many times."""
        self.browser.execute_async_script(
            "let left = arguments[0], done = arguments[1];"
            "(function next() { if (left-- > 0) requestAnimationFrame(next); else done(); })()",
            count,
        )

    def complaints(self) -> list[str]:
        """What went wrong, as the browser's console has it."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def player(film: Film, results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "needs Chromium: apt-get install chromium chromium-driver"
        if os.environ.get("GOSSIPGROUPS_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sims.report.results.load", lambda name: EXPERIMENT)
        whole, missing = find(results, ["tiny", "absent"])
    (folder / "report.html").write_text(page(whole, missing, film), "utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",  # it has none for root, and reads nothing but our page
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_page_load_timeout(WAIT)
        browser.set_script_timeout(WAIT)
        yield Player(browser, (folder / "report.html").as_uri())
    finally:
        browser.quit()


def test_play_and_pause(player: Player) -> None:
    player.open(motion="reduce")
    button = player.find("play")
    player.frames()
    assert (button.text, player.time) == ("Play", 0), "with reduced motion it waits to be started"
    button.click()
    assert button.text == "Pause"
    player.wait_past(0)
    player.wait_past(player.time)
    button.click()
    time, picture = player.time, player.picture
    player.frames()
    assert (button.text, player.time, player.picture) == ("Play", time, picture)
    button.click()
    player.wait_past(time)
    assert player.complaints() == []


def test_it_plays_by_itself(player: Player) -> None:
    player.open()
    assert player.find("play").text == "Pause"
    player.wait_past(0)
    assert player.complaints() == []


def test_the_scrubber_leads_to_the_state_of_its_time(player: Player, film: Film) -> None:
    player.open(motion="reduce")
    player.browser.find_element("css selector", "#table summary").click()
    blank = player.picture
    player.find("scrubber").click()  # in its middle
    time = int(str(player.find("scrubber").get_property("value")))
    assert abs(time - film.end / 2) <= film.end / 50
    assert player.time == time, "which is a multiple of 50 ms"
    assert player.picture != blank
    expected = shown(film, time)
    assert player.table == expected
    assert {row[4] for row in expected} != {str(NODES - 1)}, "the partition shows"
    title = [title for at, title in film.chapters if at <= time][-1]
    assert player.find("chapter").text == title
    running = [row for row in expected if row[2] != "–"]
    states = len({row[2] for row in running})
    assert player.find("facts").text.startswith(
        f"{len(running)} of {NODES} nodes run, and hold {states} different state"
    )
    player.frames()
    assert player.time == time, "it does not play on"
    assert player.complaints() == []


def test_datagrams_move(player: Player, film: Film) -> None:
    changes = [note[0] for track in (film.held, film.told, film.conditions, film.sides) for note in track]
    # When nothing else has changed for long, a datagram is under way, and not where a node covers it.
    time = next(
        time
        for time in range(1000, film.end, 50)
        if not any(time - 1000 < change <= time + 50 for change in changes)
        and any(
            time + 50 < arrives and 0.3 < (time - sent) / (arrives - sent) < 0.7
            for sent, arrives, *_ in film.datagrams
        )
    )
    player.open(motion="reduce")
    scrubber = player.find("scrubber")
    player.browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", scrubber, time
    )
    assert player.time == time
    picture = player.picture
    scrubber.send_keys(Keys.ARROW_RIGHT)
    assert player.time == time + 50
    assert player.picture != picture
    scrubber.send_keys(Keys.ARROW_LEFT)
    assert player.picture == picture, "what is shown depends on the time alone"


def shown(film: Film, time: int) -> list[list[str]]:
    """The table of the states at a time."""
    held = held_at(film, time)
    conditions = {node: what for at, node, what in film.conditions if at <= time}
    return [
        [name, conditions[node], *(_cells(*held[node]) if node in held else ["–"] * 6)]
        for node, name in enumerate(film.nodes)
    ]


def _cells(state: int, statuses: str, members: int, settled: int) -> list[str]:
    return [
        str(state),
        str(members),
        *(str(statuses.count(each)) for each in "asd"),
        "yes" if settled else "no",
    ]


def test_the_keyboard_is_enough(player: Player, film: Film) -> None:
    player.open(motion="reduce")
    scrubber, stage = player.find("scrubber"), player.find("stage")
    scrubber.send_keys(Keys.END)
    assert player.time >= film.end - 50
    scrubber.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert player.time == 100
    stage.send_keys(Keys.ARROW_RIGHT)
    assert player.time == 200
    stage.send_keys(Keys.SPACE)
    player.wait_past(200)
    stage.send_keys(Keys.SPACE)
    assert player.find("play").text == "Play"
    chapters = player.find("chapters").find_elements("tag name", "button")
    assert len(chapters) == len(film.chapters)
    chapters[4].send_keys(Keys.ENTER)
    assert abs(player.time - film.chapters[4][0]) < 10
    assert chapters[4].get_attribute("aria-current") == "step"
    assert chapters[0].get_attribute("aria-current") is None
    assert player.complaints() == []


def test_it_stops_at_its_end_and_begins_anew(player: Player, film: Film) -> None:
    player.open(motion="reduce")
    Select(player.find("speed")).select_by_visible_text("4")
    player.find("scrubber").send_keys(Keys.END, Keys.ARROW_LEFT)
    assert player.time < film.end
    player.find("play").click()
    WebDriverWait(player.browser, WAIT, 0.02).until(lambda _: player.find("play").text == "Play")
    assert abs(player.time - film.end) < 10
    player.find("play").click()
    WebDriverWait(player.browser, WAIT, 0.02).until(lambda _: 0 < player.time < film.end - 1000)
    assert player.complaints() == []


@pytest.mark.parametrize("width", [360, 1000])
def test_it_fits_the_screen(player: Player, width: int) -> None:
    player.open(motion="reduce", width=width, height=740)
    assert player.browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert player.browser.execute_script("return document.querySelector('img.plot').naturalWidth") > 0
    stage = player.find("stage").size
    assert stage["width"] == stage["height"] > 300
    for button in player.browser.find_elements("css selector", "#controls button, #controls select"):
        assert button.size["height"] >= 44, "wide enough for a finger"
    assert player.complaints() == []


def test_a_page_in_no_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    out = tmp_path / "absent" / "report.html"
    outcome = CliRunner().invoke(command.main, ["--results", str(tmp_path), "--out", str(out)])
    assert outcome.exit_code == 2
    assert "there is no folder" in outcome.output
