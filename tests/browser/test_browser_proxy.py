"""The app as a department has it: below a path, behind nginx with TLS, with a login by OpenID Connect."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlparse

import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import create_engine

from brat.store.cases import trail
from pages.words import login as words
from tests.browser.settling import settle
from tests.factories import nginx
from tests.factories.oidc import CLIENT, SECRET, provider
from tests.factories.orthanc import free_port
from tests.factories.samples import known_dicom
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


class Site:
    """The addresses of what runs, the provider of logins, and the store."""

    def __init__(self, address, certificate, oidc, engine):
        self.address, self.certificate, self.oidc, self.engine = address, certificate, oidc, engine

    def ask(self, path, body=None, **headers):
        """Status and headers of an answer, with the proxy's certificate checked."""
        trusted = ssl.create_default_context(cafile=self.certificate)
        request = urllib.request.Request(f"{self.address}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60, context=trusted) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.headers


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if reason := nginx.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    port, app = free_port(), free_port()
    url = f"sqlite:///{folder}/cases.db"
    with provider() as oidc, pytest.MonkeyPatch.context() as patched:
        secrets = folder / "secrets.toml"
        secrets.write_text(
            f"""
            [connections.cases]
            url = "{url}"
            [auth]
            redirect_uri = "https://localhost:{port}/brat/oauth2callback"
            cookie_secret = "a long text that nobody guesses"
            client_id = "{CLIENT}"
            client_secret = "{SECRET}"
            server_metadata_url = "{oidc.metadata}"
            [roles]
            admin = ["chief@example.org"]
            reader = ["ab@example.org"]
            """
        )
        patched.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
        flags = ("--server.baseUrlPath=brat", "--browser.serverAddress=localhost")
        with (
            serving(
                folder / "app.log", flags=[*flags, f"--browser.serverPort={port}"], port=app, path="/brat"
            ),
            nginx.nginx(folder, {"app:8501": f"127.0.0.1:{app}"}, login=False, port=port) as address,
        ):
            yield Site(address, str(folder / "certificate"), oidc, create_engine(url))


@pytest.fixture
def visit(open_page, site):
    """Opens the app as somebody, who logs in; returns the page, and what its browser complained about."""

    def visited(email: str, **claims):
        site.oidc.claims = {"sub": email, "email": email, "email_verified": True, **claims}
        page = open_page(f"{site.address}/brat/", ignore_https_errors=True)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        playwright.expect(page.get_by_text(words.LOG_IN)).to_be_visible()
        assert page.locator("input[type=file]").count() == 0
        page.get_by_role("button", name="Log in").click()
        return page, complaints

    return visited


def test_who_logs_in_reads_and_keeps_under_their_own_name(site, visit):
    page, complaints = visit("ab@example.org")
    page.locator("input[type=file]").first.set_input_files(
        {"name": "a.dcm", "mimeType": "application/dicom", "buffer": known_dicom()}
    )
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    page.locator("[class*='st-key-verdict-']").get_by_text("Agree", exact=True).click()
    name = page.get_by_role("textbox", name="Your name")
    playwright.expect(name).to_have_value("ab@example.org")
    playwright.expect(name).to_be_disabled()
    page.get_by_role("button", name="Keep", exact=True).click()
    playwright.expect(page.get_by_text("Kept by")).to_be_visible()
    (act,) = trail(site.engine)
    assert (act.action, act.person, act.verified) == ("kept", "ab@example.org", True)
    for name in ("History", "Worklist", "Model", "About", "Review"):
        page.get_by_role("link", name=name).click()
        settle(page)
        playwright.expect(page.get_by_test_id("stException")).to_have_count(0)
        if name == "History":
            # A reader neither deletes nor exports.
            playwright.expect(page.get_by_text("1 case.")).to_be_visible()
            assert page.get_by_role("button", name="Export as CSV").count() == 0
    # No page needs what the policy forbids.
    assert [text for text in complaints if "Content Security Policy" in text] == []
    cookies = [cookie for cookie in page.context.cookies() if cookie["name"].startswith("_streamlit_user")]
    assert cookies
    assert all(cookie["secure"] and cookie["httpOnly"] and cookie["path"] == "/brat" for cookie in cookies)


def test_the_policy_keeps_a_page_from_other_hosts(visit):
    page, complaints = visit("ab@example.org")
    playwright.expect(page.locator("input[type=file]").first).to_be_attached()
    page.evaluate("fetch('https://evil.invalid/x').catch(() => {})")
    page.wait_for_timeout(200)
    assert any("Content Security Policy" in text for text in complaints)


def test_an_admin_exports_and_the_trail_says_who(site, visit):
    page, _ = visit("chief@example.org")
    page.get_by_role("link", name="History").click()
    playwright.expect(page.get_by_text("1 case.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    assert b"ab@example.org" in download.value.path().read_bytes()
    act = trail(site.engine)[-1]
    assert (act.action, act.person, act.verified) == ("exported", "chief@example.org", True)


@pytest.mark.parametrize(
    ("email", "claims"), [("x@example.org", {}), ("chief@example.org", {"email_verified": False})]
)
def test_a_stranger_and_an_address_that_is_not_verified_read_nothing(visit, email, claims):
    page, _ = visit(email, **claims)
    playwright.expect(page.get_by_text("You are logged in, but may not read scans here.")).to_be_visible()
    assert page.locator("input[type=file]").count() == 0
    page.get_by_role("button", name="Log out").click()
    playwright.expect(page.get_by_text(words.LOG_IN)).to_be_visible()


def test_a_token_with_a_forged_signature_logs_nobody_in(site, visit):
    honest, site.oidc.key = site.oidc.key, RSAKey.generate_key(2048, {"kid": "one"})
    site.oidc.published = honest
    try:
        page, _ = visit("chief@example.org")
        # The provider's answer leads back to the app, which must not be cut short.
        page.wait_for_load_state("networkidle")
        page.goto(f"{site.address}/brat/")
        playwright.expect(page.get_by_text(words.LOG_IN)).to_be_visible()
    finally:
        site.oidc.key, site.oidc.published = honest, None


def test_a_cookie_that_somebody_made_themselves_logs_nobody_in(open_page, site):
    page = open_page(f"{site.address}/brat/", ignore_https_errors=True)
    claims = json.dumps({"email": "chief@example.org", "is_logged_in": True, "origin": site.address})
    forged = base64.b64encode(claims.encode()).decode()
    host = urlparse(site.address).hostname
    page.context.add_cookies([{"name": "_streamlit_user", "value": forged, "domain": host, "path": "/brat"}])
    page.reload()
    playwright.expect(page.get_by_text(words.LOG_IN)).to_be_visible()


def test_every_answer_of_the_proxy_carries_its_headers(site):
    for path in ("/brat/", "/brat/_stcore/health"):
        status, headers = site.ask(path)
        assert status == 200
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "nginx/" not in headers["Server"]
    assert site.ask("/brat")[0] == 200


def test_an_upload_over_the_limit_is_refused_by_the_proxy(site):
    assert site.ask("/brat/_stcore/upload_file/x/y", bytes(211 * 1024 * 1024))[0] == 413


def test_the_proxy_asks_for_a_password_but_not_for_the_api(tmp_path):
    if reason := nginx.why_not():
        pytest.skip(reason)
    with nginx.nginx(tmp_path, {}) as address:
        site = Site(address, str(tmp_path / "certificate"), None, None)
        for path in ("/", "/brat/", "/pacs/dicom-web/studies"):
            assert site.ask(path)[0] == 401, path
            wrong = base64.b64encode(b"radiology:wrong").decode()
            assert site.ask(path, Authorization=f"Basic {wrong}")[0] == 401
            right = base64.b64encode(f"radiology:{nginx.PASSWORD}".encode()).decode()
            # Nothing is behind it here.
            assert site.ask(path, Authorization=f"Basic {right}")[0] == 502
        assert site.ask("/api/health")[0] == 502
