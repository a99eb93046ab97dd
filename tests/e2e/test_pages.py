"""The pages behind the inspector's flow: what is recorded is found again, and said as it is."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Locator, Page, expect
from pypdf import PdfReader

from edge_agent.demo import IMAGES
from tests.e2e.conftest import PLATE
from tests.e2e.windows import ask_api, check_screen, code_of, item_id, new_session, open_as
from tests.waiting import WAIT_S, wait_for


def judged_item(page: Page, serial: str, code: str = "SURFACE", picture: Path = PLATE) -> tuple[str, str]:
    """A session with one item that the AI has judged: its id and the item's."""
    session_id = new_session(page, serial)
    item = item_id(page, session_id, code)
    answer = page.request.post(
        f"/api/v1/sessions/{session_id}/items/{item}/images?wait_s=60",
        data=picture.read_bytes(),
        headers={"Content-Type": "image/jpeg", "Origin": page.url.split("/#")[0].rstrip("/")},
    )
    assert answer.status == 201, answer.text()
    return session_id, item


def change_store(page: Page, sql: str, values: tuple[str, ...]) -> None:
    """What a server's answer would have left in the agent's tables."""
    database = Path(ask_api(page, "GET", "/system/info")["data_dir"]) / "edge.db"
    with closing(sqlite3.connect(database, timeout=WAIT_S)) as connection, connection:
        connection.execute(sql, values)


def test_the_history_is_narrowed_by_who_when_and_what(page: Page) -> None:
    open_as(page)
    new_session(page, "HF1")
    page.goto("/#/history")
    rows = page.get_by_role("listitem")
    expect(rows.filter(has_text="HF1")).to_have_count(1)
    page.get_by_label("開始日").fill("2099-01-01")
    expect(page.get_by_text("該当する検査はありません。")).to_be_visible()
    check_screen(page)
    page.reload()  # the filters stand in the address
    expect(page.get_by_label("開始日")).to_have_value("2099-01-01")
    page.get_by_label("開始日").fill("2020-01-01")
    for label, option in (("製品", "デモ"), ("検査員", "検査員（デモ）")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option").filter(has_text=option).first.click()
    expect(rows.filter(has_text="HF1")).to_have_count(1)


def test_the_history_is_searched_by_what_is_typed_or_scanned(page: Page) -> None:
    open_as(page, "admin")
    new_session(page, "SR1")
    new_session(page, "SR2", "LOT-SR")
    page.goto("/#/history")
    rows, field = page.get_by_role("listitem"), page.get_by_label("シリアル・ロット・読取コード")
    for text in ("SR2", "LOT-SR", code_of("SR2", "LOT-SR")):
        field.fill(text)
        page.keyboard.press("Enter")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("SR2")
    found = saved(page, "CSV 出力")
    assert b"SR2" in found
    assert b"SR1" not in found
    check_screen(page)
    field.fill("SR")
    page.keyboard.press("Tab")
    expect(page.get_by_text("該当する検査はありません。")).to_be_visible()
    field.fill("")
    page.keyboard.press("Enter")
    expect(rows.filter(has_text="SR1")).to_have_count(1)


def saved(page: Page, button: str) -> bytes:
    """The file that a button makes the browser save."""
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    return started.value.path().read_bytes()


def pdf_text(document: bytes) -> str:
    return "".join("".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(document)).pages)


def test_the_history_is_saved_as_it_is_narrowed_in_the_language_of_the_console(page: Page) -> None:
    open_as(page, "admin")
    new_session(page, "CSV1")
    page.goto("/#/history?status=COMPLETED")
    completed = saved(page, "CSV 出力")
    assert completed.startswith("\ufeffセッション".encode())
    assert b"CSV1" not in completed
    page.goto("/#/history")
    assert b"CSV1" in saved(page, "CSV 出力")
    assert "CSV1" in pdf_text(saved(page, "PDF 出力"))
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="English").click()
    assert saved(page, "CSV for spreadsheets").startswith("\ufeffSession".encode())


def test_a_session_is_printed_by_who_may_take_records_away(page: Page) -> None:
    open_as(page, "admin")
    session_id, _ = judged_item(page, "PR1")
    page.goto(f"/#/sessions/{session_id}/trace")
    text = pdf_text(saved(page, "PDF 出力"))
    assert "検査記録書" in text
    assert ask_api(page, "GET", f"/sessions/{session_id}/trace")["images"][0]["sha256"] in text


def test_a_session_is_traced_from_its_pictures_to_the_audit_log(page: Page) -> None:
    open_as(page)
    session_id, item = judged_item(page, "TR1")
    given = {"final_result": "NG", "item_id": item, "reason_code": "scratch", "notes": "端に傷"}
    ask_api(page, "POST", f"/sessions/{session_id}/verifications", given)
    page.goto("/#/history")
    page.get_by_role("listitem").filter(has_text="TR1").get_by_role("link").click()
    traced = page.locator("[data-item=SURFACE]")
    expect(traced.get_by_test_id("run")).to_contain_text("AI 合格")
    traced.get_by_text("使用した版").click()
    model = ask_api(page, "GET", f"/sessions/{session_id}/trace")["ai_results"][0]["model_sha256s"][0]
    expect(traced.get_by_test_id("run")).to_contain_text(model)
    expect(traced.get_by_test_id("given")).to_contain_text("端に傷")
    expect(traced.get_by_test_id("given")).to_contain_text("検査員（デモ）")
    expect(page.get_by_role("table", name="監査ログ")).to_contain_text(f"inspection_sessions {session_id}")
    check_screen(page)
    expect(page.get_by_role("button", name="PDF 出力")).to_have_count(0)  # an inspector takes nothing away
    page.get_by_role("link", name="検査を続ける").click()
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 1 項目")


def test_what_a_person_must_look_at_leads_to_where_it_is_decided(page: Page) -> None:
    open_as(page)
    page.goto("/#/reviews")
    expect(page.get_by_role("heading", name="要確認")).to_be_visible()
    session_id, item = judged_item(page, "RV1", "HOLE", IMAGES / "P0007_L2611R03_HOLE.jpg")
    review = next(
        one for one in ask_api(page, "GET", "/reviews")["reviews"] if one["session_id"] == session_id
    )
    row = page.get_by_role("listitem").filter(has_text="RV1")
    expect(row.locator("[data-result]")).to_have_attribute("data-result", review["ai_result"])
    expect(row).to_contain_text("穴径")
    check_screen(page)
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("穴径")
    ask_api(page, "POST", f"/sessions/{session_id}/verifications", {"final_result": "OK", "item_id": item})
    page.goto("/#/reviews")
    expect(row).to_have_count(0)


def test_the_review_list_says_why_each_is_in_it(page: Page) -> None:
    open_as(page)
    for serial, ai_result, review in (("RV2", "ERROR", "ERROR"), ("RV3", "OK", "SAMPLED")):
        session_id, _ = judged_item(page, serial)
        sql = "UPDATE item_verdicts SET ai_result = ?, review = ? WHERE session_id = ?"
        change_store(page, sql, (ai_result, review, session_id))
    page.goto("/#/reviews")
    rows = page.get_by_role("listitem")
    failed, sampled = rows.filter(has_text="RV2"), rows.filter(has_text="RV3")
    expect(failed.locator("[data-result]")).to_have_attribute("data-result", "ERROR")
    expect(sampled.locator("[data-result]")).to_have_attribute("data-result", "OK")
    expect(sampled).to_contain_text("抜取り")
    check_screen(page)


def test_a_conflict_shows_both_sides_until_a_person_has_seen_it(page: Page) -> None:
    open_as(page, "technician")
    session_id = new_session(page, "CF1")
    row = (
        str(uuid4()),
        "inspection_sessions",
        session_id,
        "server",
        '{"status": "ours"}',
        '{"status": "theirs"}',
    )
    change_store(
        page,
        "INSERT INTO conflict_log (id, entity_type, entity_id, kept, local_data, server_data, reason,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, 'test', '2026-11-23T00:00:00.000Z')",
        row,
    )
    page.goto("/#/reviews")
    conflict = page.get_by_test_id("conflict")
    conflict.get_by_text("相違点").click()
    expect(conflict.get_by_role("table")).to_contain_text("theirs")
    check_screen(page)
    conflict.get_by_role("button", name="確認済みにする").click()
    expect(page.get_by_text("競合はありません。")).to_be_visible()


def test_a_technician_sees_how_synchronisation_stands_and_acts(page: Page) -> None:
    open_as(page, "technician")
    new_session(page, "SY1")
    page.get_by_role("link", name="保守").click()
    expect(page.get_by_test_id("sync-summary")).to_contain_text("単独運転")
    expect(page.get_by_role("table", name="送信待ちの変更")).to_contain_text("inspection_sessions")
    check_screen(page)
    page.get_by_role("button", name="一時停止").click()
    page.get_by_role("button", name="再開").click()
    expect(page.get_by_role("button", name="一時停止")).to_be_visible()
    page.get_by_role("button", name="今すぐ同期").click()
    expect(page.get_by_text("(not-enrolled)")).to_be_visible()  # nobody to synchronise with, and says so
    check_screen(page)
    page.get_by_role("button", name="修復", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("未送信のデータは破棄されません")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_health_is_looked_at(page: Page) -> None:
    open_as(page, "technician", "/tech/health")
    expect(page.get_by_text(ask_api(page, "GET", "/system/info")["data_dir"])).to_be_visible()
    wait_for(lambda: all(is_shown(page, one) for one in ask_api(page, "GET", "/system/findings")["findings"]))
    check_screen(page)
    page.get_by_role("button", name="点検する").click()
    expect(page.get_by_role("region", name="全体の点検").get_by_role("alert").first).to_be_visible()


def is_shown(page: Page, finding: dict[str, str]) -> bool:
    shown = page.locator(f"[data-code={finding['code']}]").filter(has_text=finding["hint"][:10])
    return shown.count() > 0


def test_models_are_tried_on_this_machine(page: Page) -> None:
    open_as(page, "technician", "/tech/models")
    model = page.get_by_test_id("model").filter(has_text="plate-defects 1.0.0")
    expect(model).to_contain_text("有効")
    check_screen(page)
    model.get_by_role("button", name="再テスト").click()
    expect(model.get_by_test_id("tried")).to_contain_text("すべて一致")
    model.get_by_role("button", name="前の版に戻す").click()
    page.get_by_role("dialog").get_by_role("button", name="前の版に戻す").click()
    expect(page.get_by_role("main").get_by_role("alert").filter(has_text="plate-defects")).to_be_visible()


def test_cameras_and_files_set_aside(page: Page, tmp_path: Path) -> None:
    open_as(page, "technician")
    folder = {"path": str(tmp_path / "in"), "product": "DEMO-PLATE", "item": "SURFACE", "give_up_s": 0}
    (tmp_path / "in").mkdir()
    ask_api(page, "PUT", "/folders/line1", folder | {"pattern": "(?P<serial>[a-z]+)\\.jpg"})
    (tmp_path / "in" / "broken.jpg").write_bytes(PLATE.read_bytes()[:2000])
    page.goto("/#/tech/equipment")
    camera = page.get_by_test_id("camera").filter(has_text="bench")
    camera.get_by_role("button", name="映像を表示").click()
    expect(camera.locator("img")).to_have_js_property("complete", value=True)
    camera.get_by_role("button", name="映像を隠す").click()
    expect(page.get_by_test_id("folder")).to_contain_text(str(tmp_path))
    broken = page.get_by_test_id("quarantined").filter(has_text="broken.jpg")
    expect(broken).to_be_visible()
    check_screen(page)
    broken.get_by_role("button", name="削除").click()
    page.get_by_role("dialog").get_by_role("button", name="削除").click()
    expect(broken).to_have_count(0)


def test_an_administrator_adds_a_person_and_ends_their_logins(page: Page) -> None:
    open_as(page, "admin", "/tech/users")
    expect(page.get_by_role("table", name="利用者")).to_be_visible()
    check_screen(page)
    form = page.get_by_role("form", name="利用者を追加")
    form.get_by_label("利用者名").fill("newcomer")
    form.get_by_label("氏名").fill("新人")
    form.get_by_label("パスワード").fill("short")
    form.get_by_role("button", name="利用者を追加").click()
    expect(form.get_by_role("alert")).to_be_visible()
    form.get_by_label("パスワード").fill("long-enough-2026")
    form.get_by_role("button", name="利用者を追加").click()
    row = page.get_by_role("row").filter(has_text="newcomer")
    row.get_by_role("button", name="無効にする").click()
    page.get_by_role("dialog").get_by_role("button", name="無効にする").click()
    expect(row.get_by_role("button", name="有効に戻す")).to_be_visible()


def test_the_audit_log_is_read_and_proven(page: Page) -> None:
    open_as(page, "technician")
    session_id = new_session(page, "AU1")
    page.goto("/#/tech/audit")
    expect(page.get_by_role("table", name="監査ログ")).to_contain_text(session_id)
    check_screen(page)
    page.get_by_role("button", name="ログを検証").click()
    expect(page.get_by_test_id("proof")).to_contain_text("記録時のまま")


def test_inspectors_are_not_led_to_the_technician_s_pages(page: Page) -> None:
    open_as(page)
    expect(page.get_by_role("link", name="要確認")).to_be_visible()
    expect(page.get_by_role("link", name="保守")).to_have_count(0)
    page.goto("/#/tech/audit")
    expect(page.get_by_role("alert")).to_have_attribute("data-code", "role-needed")


def test_the_figures_say_what_was_decided(page: Page) -> None:
    open_as(page)
    session_id = new_session(page, "FG1")
    for one in ask_api(page, "GET", f"/sessions/{session_id}")["items"]:
        given = {"final_result": "NG", "item_id": one["item"]["id"], "reason_code": "scratch"}
        ask_api(page, "POST", f"/sessions/{session_id}/verifications", given)
    ask_api(page, "POST", f"/sessions/{session_id}/complete")
    page.get_by_role("link", name="集計").click()
    total = ask_api(page, "GET", "/statistics/yield")["total"]
    expect(page.locator("[data-figure='不合格 NG'] p").first).to_have_text(str(total["ng"]))
    expect(page.locator("[data-figure=良品率]")).to_contain_text("95 %")
    expect(page.get_by_test_id("pareto").locator("svg").last).to_contain_text("傷")
    expect(page.get_by_role("table", name="不合格の理由")).to_contain_text("傷")
    page.get_by_role("button", name="月別").click()
    page.get_by_text("表で見る").first.click()
    expect(page.get_by_role("table", name="良品率の推移").get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="時間別").click()
    expect(page.get_by_role("table", name="良品率の推移")).to_contain_text(":00")
    check_screen(page)


def test_where_the_ai_was_wrong_is_shown_period_by_period_with_intervals(page: Page) -> None:
    open_as(page)
    session_id, item = judged_item(page, "FG2")  # the AI says OK
    given = {"final_result": "NG", "item_id": item, "reason_code": "scratch"}
    ask_api(page, "POST", f"/sessions/{session_id}/verifications", given)
    page.goto("/#/figures")
    part = page.get_by_role("region", name="過検出率と見逃し率の推移")
    part.get_by_text("表で見る").click()
    table = part.get_by_role("table")
    for period, sign in (("時間別", ":00"), ("日別", "-"), ("週別", "-W"), ("月別", "-")):
        page.get_by_role("button", name=period).click()
        rows = table.get_by_role("row").filter(has_text=sign).filter(has_text="95 %")
        expect(rows.first).to_contain_text("件")
        expect(part.locator("[data-part=intervals]")).to_have_count(2)
        expect(part.locator("[data-part=intervals][d*=V]").first).to_be_attached()
    total = ask_api(page, "GET", "/statistics/agreement")["total"]["escape"]
    expect(page.locator("[data-figure=見逃し率] p").first).to_have_text(f"{total['value'] * 100:.1f} %")
    expect(rows.last).to_contain_text(f"{total['value'] * 100:.1f} %（95 %：{total['low'] * 100:.1f}～")
    check_screen(page)


def look_through(part: Locator, text: str) -> None:
    """Asks a list for more until it shows `text`; its end without it is the failure."""
    found, more = part.get_by_text(text).first, part.get_by_role("button", name="さらに表示", disabled=False)
    rows = part.get_by_role("row")
    expect(found.or_(more).first).to_be_visible()
    while not found.is_visible():
        shown = rows.count()
        more.click()
        expect(rows, "the page asked for came").not_to_have_count(shown)
        expect(found.or_(more).first).to_be_visible()


def test_what_the_server_refused_is_shown_with_its_reason_and_tried_again(page: Page) -> None:
    open_as(page, "technician")
    session_id = new_session(page, "DL1")
    change_store(
        page,
        "UPDATE sync_queue SET dead_at = '2026-11-23T00:00:00.000Z', error_code = 'unknown-product',"
        " error_detail = 'no such product' WHERE entity_id = ?",
        (session_id,),
    )
    page.goto("/#/tech")
    dead = page.get_by_test_id("dead")
    expect(dead).to_contain_text("unknown-product")
    reason = ask_api(page, "GET", "/sync/dead")["reasons"]["unknown-product"]
    expect(dead).to_contain_text(reason["hint"])
    dead.get_by_text("データ", exact=True).click()
    expect(dead).to_contain_text(session_id)
    check_screen(page)
    dead.get_by_role("button", name="もう一度").click()
    expect(page.get_by_text("拒否された変更はありません。")).to_be_visible()
    look_through(page.get_by_role("region", name="送信待ちの変更"), session_id)
