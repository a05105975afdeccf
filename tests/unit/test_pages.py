"""The HTML pages: names cannot break out of them, nothing is fetched, and a real browser shows, searches and zooms."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.profiles import HOOK, HTTP, LABELS, SITE, frame, small_profile, written
from zeekspy import export
from zeekspy.profile import CORE, IDLE, Body, Frame, Profile
from zeekspy.timeline import Timeline

PAGES = ("flamegraph", "heatmap")
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "-->]]>",
    "{{data}}{{flame.js}}",
    "\"'`${1}\\u003c",
    "\u2028\u2029\x00\x1b[2J\ud800",
    "<img src=x onerror=document.title='owned'>",
)


class Outline(HTMLParser):
    """Elements of a page, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            key = self.elements[-1][1].get("id") or "code"
            self.texts[key] = self.texts.get(key, "") + data


def outline(page: bytes) -> Outline:
    parser = Outline()
    parser.feed(page.decode("ascii"))
    return parser


def hostile_profile() -> Profile:
    profile = Profile(
        meta={"exe": HOSTILE[0], "zeek_version": HOSTILE[6], "engine": HOSTILE[1], "hz_asked": HOSTILE[3]}
    )
    for i, name in enumerate(HOSTILE):
        body = Body(f"/x/{name}.zeek", 3, 9)
        profile.add((Frame(name, "event", body.file, 5, body),), (("node", name),), i + 1, 1000 * i, 2000)
    return profile


@pytest.mark.parametrize("name", PAGES)
def test_names_cannot_break_out_of_a_page(name: str) -> None:
    plain, hostile = (outline(written(p, name)) for p in (small_profile(), hostile_profile()))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert hostile.texts["code"] == plain.texts["code"]
    data = json.loads(hostile.texts["data"])
    assert {row[0] for row in data["frames"]} == set(HOSTILE)
    assert not set("<>&") & set(hostile.texts["data"])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_else(name: str) -> None:
    page = outline(written(small_profile(), name))
    assert not [attrs for _, attrs in page.elements if {"src", "href"} & attrs.keys()]
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?://|import\(|\bfetch\(|innerHTML|\beval\(", page.texts["code"])


def test_a_page_of_a_difference_has_both_profiles() -> None:
    base = small_profile()
    base.add((HTTP, HTTP, SITE), LABELS, 4, 4000, 4000)
    data = json.loads(outline(diff_page(small_profile(), base)).texts["data"])
    assert sum(data["own"][2]) == small_profile().total().count
    assert sum(data["base"]["own"][2]) == base.total().count
    assert len(data["base"]["own"][0]) == len(data["depth"])


def diff_page(profile: Profile, base: Profile) -> bytes:
    out = io.BytesIO()
    export.by_name("flamegraph").write_diff(profile, base, out)
    return out.getvalue()


def test_calls_and_lines_are_on_the_page() -> None:
    profile = small_profile()
    profile.calls = {Frame("Foo::bar", "hook", None, None, HOOK.body): 65}
    data = json.loads(outline(written(profile, "flamegraph")).texts["data"])
    (bar,) = [row for row in data["frames"] if row[0] == "Foo::bar"]
    assert bar[1:6] == ["hook", f"{HOOK.body and HOOK.body.file}:7", "site", 65, 180_000 / 65]
    assert bar[6] == [[8, 1.0]]
    assert [row[4] for row in data["frames"] if row[0] != "Foo::bar"] == [None] * (len(data["frames"]) - 1)


def test_very_deep_stacks_are_cut() -> None:
    profile = Profile()
    profile.add(tuple(frame(f"f{i}", "function", None) for i in range(5000)), (), 3, 3, 3)
    data = json.loads(outline(written(profile, "flamegraph")).texts["data"])
    assert (len(data["depth"]), max(data["depth"])) == (1000, 999)
    assert data["own"][2][-1] == 3


@pytest.fixture
def browser() -> str:
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if found is None:
        pytest.skip("no Chromium is here: the package chromium of Debian has it")
    return found


def shown(browser: str, tmp_path: Path, page: bytes, address: str = "") -> dict[str, str]:
    """By id, the text of the elements after the page's scripts have run; and what the console said."""
    file = tmp_path / "page.html"
    file.write_bytes(page)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr", "--window-size=1200,800"]
    command += ["--virtual-time-budget=5000", "--dump-dom", f"file://{file}#{address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    texts = dict(re.findall(r'<(?:h1|div|span|title)[^>]*? id="([a-z]+)"[^>]*>([^<]*)<', done.stdout))
    texts = {key: html.unescape(text) for key, text in texts.items()}
    texts["document"] = "".join(re.findall(r"<title>(.*?)</title>", done.stdout))
    texts["console"] = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return texts


def test_a_browser_searches_the_flame_graph(browser: str, tmp_path: Path) -> None:
    said = shown(browser, tmp_path, written(small_profile(), "flamegraph"), "search=Foo::bar&value=samples")
    assert said["console"] == ""
    # Foo::bar is in stacks with 1, 4, 5 and 8 of the 39 samples that are in scripts.
    assert said["matched"] == "matched 46.15 %: 18 samples"
    assert said["title"] == "zeek flame graph"


def test_a_browser_zooms_the_flame_graph(browser: str, tmp_path: Path) -> None:
    page = written(small_profile(), "flamegraph")
    data = json.loads(outline(page).texts["data"])
    node = next(i for i, n in enumerate(data["frame"]) if data["frames"][n][0] == "Foo::bar" and data["depth"][i] == 0)
    said = shown(browser, tmp_path, page, f"zoom={node}&search=small&value=samples&theme=dark")
    assert said["console"] == ""
    assert said["matched"] == "matched 33.33 %: 4 samples"
    assert said["detail"].startswith("Foo::bar (hook)\n12 samples, 21.82 % of all, 100.00 % of what is shown")


def timed_profile() -> Profile:
    profile = Profile(time_ns=1_700_000_000 * 10**9, period_ns=10_000_000)
    profile.times = Timeline()
    for second in range(6):
        for stack, count in (((HTTP, HOOK), 10 if second == 3 else 2), ((CORE,), 5), ((IDLE,), 40)):
            profile.add(stack, LABELS, count, 0 if stack == (IDLE,) else count * 10_000_000, count * 10_000_000)
            profile.times.add(second * 1_000_000 + len(stack), profile.times.slot(stack, LABELS), count)
    return profile


def test_a_browser_shows_a_range_of_the_heat_map(browser: str, tmp_path: Path) -> None:
    page = written(timed_profile(), "heatmap")
    said = shown(browser, tmp_path, page, "range=150-199&value=samples&search=Foo")
    assert said["console"] == ""
    assert said["range"] == "2023-11-14 22:13:23.000 to 2023-11-14 22:13:24.000 UTC, scripts: 10 samples"
    assert said["matched"] == "matched 100.00 %"
    everything = shown(browser, tmp_path, page, "value=samples&mode=4")
    assert everything["range"] == "the whole time, everything: 290 samples"


def test_a_browser_runs_no_name(browser: str, tmp_path: Path) -> None:
    said = shown(browser, tmp_path, written(hostile_profile(), "flamegraph"), "search=script")
    assert said["document"] == "zeekspy flame graph"
    assert said["console"] == ""
    assert said["matched"].startswith("matched ")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (Profile(), "There are no samples"),
        (small_profile(), "This profile does not have the times of its samples"),
        (timed_profile(), ""),
    ],
    ids=["empty", "untimed", "timed"],
)
def test_a_browser_has_nothing_to_complain_of(
    browser: str, tmp_path: Path, name: str, profile: Profile, said: str
) -> None:
    found = shown(browser, tmp_path, written(profile, name), "theme=dark&value=wall&core=1&mode=4")
    assert found["console"] == ""
    if name == "heatmap" or not profile.samples:
        assert found["said"].startswith(said)
        assert bool(found["said"]) == bool(said)
    if profile.samples:
        assert found["headline"].startswith(("Zeek 8.0, ", "worker-1, "))


def test_a_browser_shows_a_difference(browser: str, tmp_path: Path) -> None:
    base = small_profile()
    base.add((SITE,), LABELS, 39, 390_000_000, 390_000_000)
    found = shown(browser, tmp_path, diff_page(small_profile(), base), "search=detect&value=samples")
    assert found["console"] == ""
    assert found["title"] == "zeek flame graph, compared"
    assert found["matched"] == "matched 30.77 %: 12 samples"
