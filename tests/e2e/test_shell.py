"""Getting in and around: login, languages, sizes."""

from __future__ import annotations

from playwright.sync_api import APIResponse, Page, expect

from tests.e2e.windows import ask_api, check_screen, log_in, new_session, open_as


def test_who_is_not_logged_in_is_asked_to_and_then_sees_the_start(page: Page) -> None:
    expect(page.get_by_role("heading", name="ImageFlowCanvas")).to_be_visible()
    log_in(page)
    expect(page.get_by_role("heading", name="検査", exact=True)).to_be_visible()
    expect(page.get_by_test_id("sync")).to_contain_text("単独運転")


def test_a_wrong_password_says_what_to_do(page: Page) -> None:
    page.locator("input").first.fill("inspector")
    page.locator("input[type=password]").fill("wrong")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_have_attribute("data-code", "login-failed")
    expect(alert).to_contain_text("パスワード")


def test_the_start_shows_what_is_under_way_and_what_today_gave(page: Page) -> None:
    open_as(page)
    session_id = new_session(page, "HM1")
    before = ask_api(page, "GET", "/statistics/yield")["total"]["completed"]
    page.goto("/#/")
    expect(page.get_by_test_id("home.completed")).to_have_text(str(before))
    under_way = page.get_by_role("region", name="途中の検査").get_by_role("link").filter(has_text="HM1")
    under_way.click()
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 0 項目")
    for one in ask_api(page, "GET", f"/sessions/{session_id}")["items"]:
        given = {"final_result": "NG", "item_id": one["item"]["id"], "reason_code": "scratch"}
        ask_api(page, "POST", f"/sessions/{session_id}/verifications", given)
    page.goto("/#/")
    ask_api(page, "POST", f"/sessions/{session_id}/complete")  # the event comes while the start is looked at
    expect(page.get_by_test_id("home.completed")).to_have_text(str(before + 1))
    expect(under_way).to_have_count(0)


def test_everything_is_there_in_english_and_stays_so(page: Page) -> None:
    open_as(page)
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="English").click()
    expect(page.get_by_role("heading", name="Inspection", exact=True)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.get_by_role("link", name="Scan and start")).to_be_visible()
    page.goto("/#/scan")
    page.get_by_label("Product code").fill("nothing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Check that it is the right label")


def test_the_text_can_be_made_larger(page: Page) -> None:
    open_as(page)
    heading = page.get_by_role("heading", level=1)
    before = heading.evaluate("(one) => parseFloat(getComputedStyle(one).fontSize)")
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="文字を大きくする").click()
    expect(page.locator("[role=menu]")).to_have_count(0)  # hidden at once, gone a little later
    expect(heading).to_have_css("font-size", f"{before * 1.25:g}px")
    check_screen(page)


def test_anybody_changes_their_own_password_and_stays_logged_in(page: Page) -> None:
    open_as(page, "admin")
    person = {
        "username": "changer",
        "full_name": "変更者",
        "password": "first-password-1",
        "role": "inspector",
    }
    ask_api(page, "POST", "/users", person)
    page.context.clear_cookies()
    assert log_in_by_api(page, "first-password-1").ok
    page.goto("/#/")
    page.reload()
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="パスワードの変更").click()
    expect(page.locator("[role=menu]")).to_have_count(0)  # hidden at once, gone a little later
    check_screen(page)
    give_password(page, "first-password-1", "second-password-2", "third-password-3")
    expect(page.get_by_role("alert")).to_contain_text("一致しません")
    give_password(page, "wrong-password", "second-password-2", "second-password-2")
    expect(page.get_by_role("alert")).to_have_attribute("data-code", "password-wrong")
    give_password(page, "first-password-1", "short", "short")
    expect(page.get_by_role("alert")).to_have_attribute("data-code", "password-unfit")
    check_screen(page)
    give_password(page, "first-password-1", "second-password-2", "second-password-2")
    expect(page.get_by_test_id("changed")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="ホーム").click()
    expect(page.get_by_role("heading", name="検査", exact=True)).to_be_visible()
    assert not log_in_by_api(page, "first-password-1").ok
    assert log_in_by_api(page, "second-password-2").ok


def log_in_by_api(page: Page, password: str) -> APIResponse:
    body = {"username": "changer", "password": password, "cookie": True}
    origin = {"Origin": page.url.split("/#")[0].rstrip("/")}
    return page.request.post("/api/v1/auth/login", data=body, headers=origin)


def give_password(page: Page, present: str, new: str, again: str) -> None:
    """Typed with keys only, from the first field on."""
    page.get_by_label("現在のパスワード").fill(present)
    page.keyboard.press("Tab")
    page.keyboard.type(new)
    page.keyboard.press("Tab")
    page.keyboard.type(again)
    page.keyboard.press("Enter")


def test_logging_out_ends_the_login(page: Page) -> None:
    open_as(page)
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="ログアウト").click()
    expect(page.locator("input[type=password]")).to_be_visible()
    assert page.request.get("/api/v1/auth/me").status == 401


def test_a_window_left_at_the_login_goes_on_once_somebody_is_logged_in(page: Page) -> None:
    page.goto("/#/scan")
    expect(page.locator("input[type=password]")).to_be_visible()
    with page.context.expect_page():
        page.evaluate("() => window.open('/')")
    log_in(page.context.pages[1])
    page.reload()
    expect(page.get_by_label("製品コード")).to_be_visible()


def test_a_logout_that_reaches_nobody_leaves_everything_as_it_is(page: Page) -> None:
    open_as(page)
    page.route("**/auth/logout", lambda route: route.abort())
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="ログアウト").click()
    expect(page.locator("[role=menu]")).to_have_count(0)
    expect(page.get_by_role("heading", name="検査", exact=True)).to_be_visible()


def test_the_history_shows_what_was_inspected_and_can_be_narrowed(page: Page) -> None:
    open_as(page)
    session_id = new_session(page, "H1")
    page.goto("/#/history")
    expect(page.get_by_role("listitem").first).to_contain_text("H1")
    check_screen(page)
    page.get_by_label("状態").click()
    page.get_by_role("option", name="中止").click()
    expect(page.get_by_role("listitem").filter(has_text="H1")).to_have_count(0)
    ask_api(page, "POST", f"/sessions/{session_id}/cancel", {"reason": "test"})
    page.reload()
    page.get_by_role("listitem").filter(has_text="H1").get_by_role("link").click()
    expect(page.get_by_role("heading", name="DEMO-PLATE · L2611A07 · H1")).to_be_visible()
