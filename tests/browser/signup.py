#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""signup.py URL DIRECTORY LOG: a person at the demo's page, in Chromium.

Signs up by each button several times, and sees both latencies and the mails that were delivered;
then enters what the page must refuse. DIRECTORY is an empty one for the browser.
"""

import email.utils
import json
import os
import sys
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

MAIL_SERVER_MS = 300
ROUNDS = 3
PATIENCE = 60
# As markup, each of these would show: in bold, or as an image whose script leaves something behind.
# At most 45 bytes: Python's parser, which the mail server uses, puts blanks where a longer name had
# to be cut.
PEOPLE = {
    "after": ("Zoë Łukasz 日本 & <b>Ada</b>", "zoe@example.org"),
    "inline": ("<img src onerror=injected=1>&amp;", "eve@example.org"),
}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def check(holds, sentence):
    if not holds:
        sys.exit(f"FAILED: {sentence}")


class Page:
    def __init__(self, url, directory, log):
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={directory}/profile"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service("/usr/bin/chromedriver", log_path=log)
        self.driver = webdriver.Chrome(service=service, options=options)
        self.driver.get(url)

    def wait(self, condition, sentence):
        try:
            return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(
                lambda driver: condition()
            )
        except TimeoutException:
            sys.exit(f"FAILED: not within {PATIENCE} s: {sentence}")

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def sign_up(self, which, name, address):
        for field, value in (("name", name), ("email", address)):
            self.find(f"#{field}").clear()
            self.find(f"#{field}").send_keys(value)
        self.find(f"button.{which}").click()

    def errors(self):
        """What the console has got since the last call."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def asked_for(self):
        """The ids of the mails that the page has asked for, the latest at the end."""
        return self.run(
            "return performance.getEntriesByType('resource').map(e => e.name)"
            ".filter(n => n.includes('/mail?id=')).map(n => n.split('=')[1])"
        )


def delivered(url, mail_id):
    """What the mail server has kept, asked for without the browser."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}mail?id={mail_id}", timeout=PATIENCE) as answer:
        kept = json.load(answer)
    check(kept["delivered"], "the page shows a mail that was not delivered")
    return kept["mail"]


def milliseconds(text):
    number, unit = text.split(" ")
    check(unit == "ms", f"'{text}' is no latency")
    return float(number)


def sign_up(page, url, which, address, name):
    """Signs up, checks what is shown, and returns the latency that is shown."""
    panel = f"#{which}"
    before = page.asked_for()
    page.run("document.querySelector(arguments[0] + ' .time').textContent = ''", panel)
    page.sign_up(which, name, address)
    page.wait(
        lambda: page.text(f"{panel} .note").startswith("The mail had arrived ")
        and page.find(f"{panel} .mail").is_displayed()
        and page.text(f"{panel} .time"),
        f"the mail of {which}",
    )
    check(page.text("#error") == "", f"an error is shown: {page.text('#error')}")
    mail_id = page.asked_for()[-1]
    check(mail_id not in before, "the page did not ask for the new mail")
    see_mail(page, panel, delivered(url, mail_id), name, address)
    return milliseconds(page.text(f"{panel} .time"))


def see_mail(page, panel, mail, name, address):
    terms = [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, f"{panel} .mail dt")]
    values = [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, f"{panel} .mail dd")]
    shown = dict(zip(terms, values))
    body = page.run("return document.querySelector(arguments[0] + ' pre').innerText", panel)
    for header in ("From", "To", "Subject", "Date"):
        check(
            shown.get(header) == mail[header],
            f"{header} is shown as {shown.get(header)}, not as {mail[header]}",
        )
    check(body == mail["Text"].rstrip(), f"the text is shown as {body}")
    check(email.utils.parseaddr(shown["To"]) == (name, address), f"the mail is to {shown['To']}")
    check(shown["Subject"] == f"Welcome, {name}!", f"the subject is {shown['Subject']}")
    check(body.startswith(f"Hello {name},\n"), f"the mail says {body}")
    markup = page.run("return document.querySelectorAll('.mail :not(dt, dd, dl, pre)').length")
    check(markup == 0, "a name has become markup")
    check(page.run("return typeof injected") == "undefined", "a script in a name has run")


def see_refusal(page, name, address, sentence, field):
    page.sign_up("after", name, address)
    page.wait(lambda: sentence in page.text("#error"), f"the sentence '{sentence}'")
    marked = page.driver.find_elements(By.CSS_SELECTOR, "[aria-invalid=true]")
    names = [element.get_attribute("name") for element in marked]
    check(names == [field], f"the fields {names} are marked, not {field}")
    focused = page.driver.switch_to.active_element.get_attribute("name")
    check(focused == field, f"the focus is on {focused}, not on {field}")
    # The browser itself reports a 400 on its console, and nothing else may be there.
    for message in [entry["message"] for entry in page.errors()]:
        check("/signup" in message and "400" in message, f"the console says {message}")


def use(page, url):
    check(page.driver.title.startswith("Sign up"), f"the page is {page.driver.title}")
    took = {}
    for which, (name, address) in PEOPLE.items():
        took[which] = min(
            sign_up(page, url, which, address, f"{name} {i}") for i in range(ROUNDS)
        )
        print(f"{which}: answered in {took[which]:g} ms, as the page shows, the least of {ROUNDS}")
    check(took["inline"] >= MAIL_SERVER_MS, "the inline mail took less than the mail server takes")
    check(took["after"] < MAIL_SERVER_MS, "the response that defers its mail waited for it")
    errors = page.errors()
    check(not errors, f"the console says {errors}")

    latency = page.text("#after .time")
    see_refusal(page, "", "ada@example.org", "Please enter your name.", "name")
    see_refusal(page, "Ada", "ada", "Please enter an e-mail address such as", "email")
    see_refusal(page, "Ada", "ada@example.org>", "Please enter an e-mail address such as", "email")
    check(page.text("#after .time") == latency, "a refused sign-up has changed the latency")
    sign_up(page, url, "after", "ada@example.org", "Ada")  # and the error is gone
    errors = page.errors()
    check(not errors, f"the console says {errors}")


def main():
    url, directory, log = sys.argv[1:]
    # Whatever the browser keeps goes with its directory, and nothing on loopback needs a proxy.
    os.environ.update(HOME=directory, XDG_CONFIG_HOME=directory, XDG_CACHE_HOME=directory)
    os.environ.update(no_proxy="*", NO_PROXY="*")
    page = Page(url, directory, log)
    try:
        use(page, url)
    finally:
        page.driver.quit()


main()
