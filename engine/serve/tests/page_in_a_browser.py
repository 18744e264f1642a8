"""Opens the status page in headless Chromium and does what a newcomer does in the first minutes."""

import base64
import os
import subprocess
import sys
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

open_server, locked_server, chromium, driver, folder = sys.argv[1:]
folder = Path(folder)
SECONDS = 20

options = webdriver.ChromeOptions()
options.binary_location = chromium
for argument in (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1360,1500", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
):
    options.add_argument(argument)
options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
try:
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
except WebDriverException as error:
    print("SKIPPED: the browser does not start here, so it opened no page:", (error.msg or "").partition("\n")[0])
    sys.exit(0)
wait = WebDriverWait(browser, SECONDS)


def by(name):
    return browser.find_element(By.ID, name)


def until(what, condition):
    wait.until(lambda _: condition(), f"{what}; problem: {by('problem').text!r}, answer: {by('answer').text!r}")


def choose(route):
    Select(by("route")).select_by_visible_text(route)


def send():
    by("send").click()


def answered():
    return by("took").text.startswith("first after")


def is_open_and_live():
    browser.get(f"http://{open_server}/")
    until("the page says that it is ready", lambda: by("state").text == "ready")


def shows_the_graph():
    choose("parrot · talk")
    labels = [node.get_attribute("aria-label") for node in browser.find_elements(By.CSS_SELECTOR, "#graph .node")]
    kinds = sorted(label.split()[0] for label in labels)
    assert kinds == ["adaptor", "component", "component", "input", "output", "output"], labels
    edges = browser.find_elements(By.CSS_SELECTOR, "#graph path.edge")
    assert len(edges) == 5, len(edges)
    assert any("stream" in edge.get_attribute("class") for edge in edges)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('#graph .node')].map(it => it.getBoundingClientRect().toJSON())"
    )
    for place, one in enumerate(boxes):
        for other in boxes[place + 1:]:
            apart = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert apart or one["bottom"] <= other["top"] or other["bottom"] <= one["top"], (one, other)


def row(route):
    # At once: the page makes its rows anew every second.
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#routes tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return next(cells for cells in rows if cells[0] == route)


def hears_and_reads_the_answer():
    by("in-prompt").send_keys("hello there. how are you?")
    send()
    until("text and sound come", answered)
    assert "hello there." in by("answer").text
    until("the sound can be heard", lambda: browser.execute_script(
        "const sound = document.querySelector('#answer audio'); return sound && sound.duration > 0.1"))
    until("counts move", lambda: "1" == browser.find_element(By.CSS_SELECTOR, "#totals div:nth-child(4) dd").text)
    until("it is counted by its route", lambda: row("parrot · talk")[6:] == ["1", "0", "0"])
    until("its times are shown", lambda: "–" not in row("parrot · talk")[4:6])


def sends_a_picture():
    choose("editor · retouch")
    picture = folder / "red.png"
    picture.write_bytes(base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"))
    by("in-prompt").send_keys("look")
    by("in-images").send_keys(str(picture))
    send()
    until("another picture comes", answered)
    assert browser.execute_script("return document.querySelector('#answer img').naturalWidth") == 1


def reads_numbers():
    choose("vector · embed1")
    by("in-text").send_keys("one two")
    send()
    until("a vector comes", answered)
    assert "f32[8]: " in by("answer").text, by("answer").text


def sends_a_voice():
    choose("ear · write")
    browser.find_element(By.XPATH, "//button[.='Record']").click()
    until("it records", lambda: browser.find_elements(By.XPATH, "//button[.='Stop recording']"))
    browser.execute_async_script("setTimeout(arguments[0], 1500)")
    browser.find_element(By.XPATH, "//button[.='Stop recording']").click()
    until("what was recorded is there", lambda: browser.find_elements(By.CSS_SELECTOR, "#fields audio"))
    send()
    until("what was heard comes", answered)


def says_what_is_wrong():
    choose("parrot · ask")
    browser.execute_script("arguments[0].value = 'x'.repeat(20000)", by("in-prompt"))
    send()
    until("the server's words are shown", lambda: "prompt" in by("problem").text)
    assert "400" in by("problem").text


def aborts():
    choose("endless · count")
    by("in-prompt").send_keys("on and on")
    send()
    until("it is under way", lambda: by("stop").is_enabled())
    by("stop").click()
    until("it is aborted", lambda: by("took").text.startswith("aborted"))


def what_was_given_up_is_counted():
    until("it is counted by its route", lambda: row("endless · count")[6:] == ["0", "0", "1"])


def pasted(what):
    """What the code for a terminal and the one in Python print, both with `what` in them."""
    until(f"the code has {what}", lambda: what in by("python").get_attribute("textContent"))
    python, shell = (by(name).get_attribute("textContent") for name in ("python", "curl"))
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    for run in ([sys.executable, "-c", python], ["bash", "-c", shell]):
        done = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0 and "error" not in done.stdout, (run, done)
        yield done.stdout


def can_be_pasted():
    choose("parrot · ask")
    text = 'say "a: true" $HOME `id` \\'
    by("in-prompt").send_keys(text)
    for said in pasted("a: true"):
        assert "a: true" in said and "$HOME `id`" in said, said

    (folder / "it's $red.png").write_bytes((folder / "red.png").read_bytes())
    choose("editor · retouch")
    by("in-prompt").send_keys("look")
    by("in-images").send_keys(str(folder / "it's $red.png"))
    for said in pasted("it's $red.png"):
        assert "data:image/png;base64," in said, said

    # A film and a sound that the server does not read, and a stand-in for the program that makes pictures and WAV of them.
    stand_in = folder / "ffmpeg"
    stand_in.write_text(
        '#!/bin/bash\nlast="${@: -1}"\nif [ "$last" = - ]; then cat "$(dirname "$0")/tone.wav"; exit; fi\n'
        'for at in 1 2 3; do cp "$(dirname "$0")/red.png" "$(dirname "$last")/000$at.png"; done\n'
    )
    stand_in.chmod(0o755)
    (folder / "tone.wav").write_bytes(
        b"RIFF\x34\x06\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x10\x06\0\0" + bytes(1552)
    )
    (folder / "clip.mp4").write_bytes(b"a film")
    (folder / "talk.aiff").write_bytes(b"a sound")
    choose("assistant · discuss")
    media = browser.find_element(By.ID, "in-talk-media")
    media.send_keys(f"{folder / 'clip.mp4'}\n{folder / 'talk.aiff'}\n{folder / 'red.png'}")
    by("in-talk").send_keys("what is this?")
    for said in pasted("clip.mp4"):
        assert "what is this?" in said and "3 frames" in said, said


def asks_for_a_key():
    browser.get(f"http://{locked_server}/")
    until("it asks for the key", lambda: by("key-dialog").is_displayed())
    by("key").send_keys("wrong")
    by("key-form").submit()
    until("a wrong key is not taken", lambda: "does not know" in by("key-why").text)
    by("key").send_keys("open-sesame")
    by("key-form").submit()
    until("with the key it is ready", lambda: by("state").text == "ready")
    assert browser.execute_script("return localStorage.length") == 0


def fits_a_phone():
    browser.set_window_size(500, 900)
    browser.get(f"http://{open_server}/")
    until("the page says that it is ready", lambda: by("state").text == "ready")
    over = browser.execute_script(
        "return document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *, header *')]"
        ".filter(it => it.getBoundingClientRect().right > innerWidth && !it.closest('.wide, #graph, pre')).map(it => it.outerHTML.slice(0, 90))"
    )
    assert not over, over


def asks_nobody_else():
    wanted = [entry["message"] for entry in browser.get_log("performance") if '"Network.requestWillBeSent"' in entry["message"]]
    assert wanted
    for message in wanted:
        url = message.split('"url":"')[-1].split('"')[0]
        assert url.startswith(("http://127.0.0.1:", "data:", "blob:", "chrome")), url
    problems = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "status of 4" not in entry["message"]]
    assert not problems, problems


try:
    for step in (is_open_and_live, shows_the_graph, hears_and_reads_the_answer, sends_a_picture, reads_numbers, sends_a_voice,
                 says_what_is_wrong, aborts, what_was_given_up_is_counted, can_be_pasted, asks_for_a_key, fits_a_phone, asks_nobody_else):
        step()
        browser.save_screenshot(str(folder / f"{step.__name__}.png"))
        print(f"{step.__name__.replace('_', ' ')}: as expected", flush=True)
    print("all as expected")
finally:
    browser.quit()
