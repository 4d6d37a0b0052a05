"""A browser for a Quixote publisher in this process, and server processes of the test site."""

import http.client
import importlib.util
import io
import os
import pathlib
import re
import subprocess
import sys
import warnings
from contextlib import contextmanager

import pytest

HERE = pathlib.Path(__file__).resolve().parent


def need_quixote():
    """Skips the module where Quixote or Session3 are missing, with a warning. In CI that is a failure."""
    try:
        import quixote  # noqa: F401
        import session3  # noqa: F401
    except ImportError as error:
        message = f"NOT TESTED: sessiondir.quixote, since {error}. pip install 'sessiondir[test]'"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        warnings.warn(message, stacklevel=2)
        pytest.skip(message, allow_module_level=True)


def load_demo():
    spec = importlib.util.spec_from_file_location("quixote_demo", HERE.parent / "examples" / "quixote_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def only_publisher():
    """Quixote has one publisher a process."""
    import quixote.publish

    quixote.publish.cleanup()
    try:
        yield
    finally:
        quixote.publish.cleanup()


class Page:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    @property
    def set_cookies(self):
        return [value for key, value in self.headers if key.lower() == "set-cookie"]


class Browser:
    """Keeps the session's cookie as a browser does."""

    def __init__(self, cookie=None):
        self.cookie = cookie

    def get(self, path, method="GET", body=""):
        page = self.fetch(path, method, body)
        for line in page.set_cookies:
            match = re.match(r'QX_session="?([^";]*)"?(.*)', line)
            self.cookie = None if "max-age=0" in match.group(2).lower() else match.group(1)
        return page

    def cookie_header(self):
        return {} if self.cookie is None else {"Cookie": f'QX_session="{self.cookie}"'}


class PublisherBrowser(Browser):
    def __init__(self, publisher, cookie=None):
        super().__init__(cookie)
        self.publisher = publisher

    def fetch(self, path, method, body):
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.0",
            "REMOTE_ADDR": "192.0.2.7",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
        }
        if method == "POST":
            environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        for name, value in self.cookie_header().items():
            environ["HTTP_" + name.upper()] = value
        response = self.publisher.process(io.BytesIO(body.encode()), environ)
        output = io.BytesIO()
        response.write(output, include_status=False)
        text = output.getvalue().partition(b"\r\n\r\n")[2].decode()
        return Page(response.get_status_code(), list(response.generate_headers()), text)


class ServerBrowser(Browser):
    def __init__(self, port, cookie=None):
        super().__init__(cookie)
        self.port = port

    def fetch(self, path, method, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = self.cookie_header()
            if method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, body=body or None, headers=headers)
            response = connection.getresponse()
            return Page(response.status, response.getheaders(), response.read().decode())
        finally:
            connection.close()


@contextmanager
def server(directory, manager):
    """A server process of quixote_site.py on a port of its own; yields the port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "quixote_site.py"), str(directory), manager],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("port "), f"the server did not start: {line!r}"
        yield int(line.split()[1])
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()
