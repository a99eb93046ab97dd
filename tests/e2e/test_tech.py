"""What a technician changes on the screen, and what refuses to be changed says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from edge_agent.archive import pack
from edge_agent.demo import BUNDLE, IMAGES
from tests.e2e.conftest import PLATE
from tests.e2e.windows import ask_api, check_screen, open_as

MODEL = BUNDLE / "models" / "plate-defects-1.0.0"


def choose(page: Page, label: str, option: str, part: Locator | None = None) -> None:
    (part or page).get_by_role("combobox", name=label).click()
    page.get_by_role("option").filter(has_text=option).first.click()


def test_a_pipeline_is_tried_on_a_picture_and_nothing_is_stored(page: Page) -> None:
    open_as(page, "technician", "/tech/models")
    before = ask_api(page, "GET", "/system/metrics")["image_fsyncs"]
    choose(page, "製品", "デモ")
    choose(page, "検査項目", "穴径")
    tried = page.get_by_role("region", name="画像で試す")
    picture = tried.locator("input[type=file]")
    picture.set_input_files({"name": "no.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    expect(tried.get_by_role("alert")).to_contain_text("画像")
    picture.set_input_files(IMAGES / "P0007_L2611R03_HOLE.jpg")
    expect(tried.get_by_test_id("ai-verdict")).to_be_visible()
    expect(tried.get_by_test_id("measured")).to_be_visible()
    expect(tried.get_by_role("img", name="検査画像")).to_have_js_property("complete", value=True)
    check_screen(page)
    assert ask_api(page, "GET", "/system/metrics")["image_fsyncs"] == before


def test_a_model_is_installed_from_its_package_and_a_broken_one_refused(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    manifest = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps({**manifest, "version": "1.0.1"}), "utf-8")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    pack(folder, names, tmp_path / "model.zip")
    open_as(page, "technician", "/tech/models")
    part = page.get_by_role("region", name="モデルの導入")
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    part.locator("input[type=file]").set_input_files(tmp_path / "broken.zip")
    expect(part.get_by_role("alert")).to_have_attribute("data-code", "bad-definition")
    part.locator("input[type=file]").set_input_files(tmp_path / "model.zip")
    expect(part.get_by_test_id("installed")).to_contain_text("plate-defects 1.0.1")
    installed = page.get_by_test_id("model").filter(has_text="plate-defects 1.0.1")
    expect(installed.get_by_role("button", name="有効にする")).to_be_visible()


def test_cameras_and_folders_are_made_and_removed(page: Page, tmp_path: Path) -> None:
    open_as(page, "technician", "/tech/equipment")
    page.get_by_label("カメラ名").fill("Bad Name")
    page.get_by_label("接続先").fill("0")
    page.get_by_role("button", name="カメラを追加").click()
    expect(page.get_by_role("form", name="カメラを追加").get_by_role("alert")).to_be_visible()
    page.get_by_label("カメラ名").fill("spare")
    page.get_by_role("button", name="カメラを追加").click()
    camera = page.get_by_test_id("camera").filter(has_text="spare")
    camera.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(camera).to_have_count(0)
    (tmp_path / "line2").mkdir()
    page.get_by_label("フォルダー名").fill("line2")
    page.get_by_label("場所").fill(str(tmp_path / "line2"))
    page.get_by_label("項目コード").fill("SURFACE")
    choose(page, "製品", "デモ")
    choose(page, "検査の開始", "自動")
    page.get_by_role("button", name="フォルダーを追加").click()
    folder = page.get_by_test_id("folder").filter(has_text="line2")
    expect(folder).to_be_visible()
    check_screen(page)
    (tmp_path / "line2" / "FORM1.jpg").write_bytes(PLATE.read_bytes() + b"form")  # bytes of its own
    expect(folder.get_by_role("row", name="取り込み済み 1")).to_be_visible()
    folder.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(folder).to_have_count(0)


def test_a_camera_is_changed_and_keeps_what_is_not_touched(page: Page) -> None:
    open_as(page, "technician")
    ask_api(page, "PUT", "/cameras/gate", {"source": "rtsp://cam:secret@127.0.0.1:9/one", "fps": 5})
    page.goto("/#/tech/equipment")
    camera = page.get_by_test_id("camera").filter(has_text="gate")
    camera.get_by_role("button", name="設定を変更").click()
    expect(camera.get_by_label("接続先")).to_have_value("rtsp://127.0.0.1:9/one")
    camera.get_by_label("幅").fill("640")
    check_screen(page)
    camera.get_by_role("button", name="変更を保存").click()
    expect(camera.get_by_role("button", name="設定を変更")).to_be_visible()
    camera.get_by_role("button", name="設定を変更").click()
    expect(camera.get_by_label("幅")).to_have_value("640")
    camera.get_by_label("接続先").fill("no address")
    camera.get_by_role("button", name="変更を保存").click()
    expect(camera.get_by_role("alert")).to_be_visible()
    camera.get_by_label("接続先").fill("3")
    camera.get_by_role("button", name="変更を保存").click()
    expect(camera).to_contain_text("3 · ")
    camera.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(camera).to_have_count(0)


def test_a_folder_is_changed_and_keeps_what_is_not_shown(page: Page, tmp_path: Path) -> None:
    open_as(page, "technician")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = str(tmp_path / "old")
    made = {"path": old, "item": "SURFACE", "sidecar": True, "settle_s": 7}
    ask_api(page, "PUT", "/folders/moved", made)
    page.goto("/#/tech/equipment")
    folder = page.get_by_test_id("folder").filter(has_text="moved")
    folder.get_by_role("button", name="設定を変更").click()
    expect(folder.get_by_label("場所")).to_have_value(old)
    folder.get_by_label("場所").fill("relative")
    folder.get_by_role("button", name="変更を保存").click()
    expect(folder.get_by_role("alert")).to_be_visible()
    folder.get_by_label("場所").fill(str(tmp_path / "new"))
    choose(page, "製品", "デモ", folder)
    check_screen(page)
    folder.get_by_role("button", name="変更を保存").click()
    expect(folder.get_by_role("row", name=str(tmp_path / "new"))).to_be_visible()
    [config] = [
        one["config"]
        for one in ask_api(page, "GET", "/folders")["folders"]
        if one["config"]["name"] == "moved"
    ]
    kept = {name: config[name] for name in ("path", "product", "item", "pattern", "sidecar", "settle_s")}
    assert kept == {**made, "path": str(tmp_path / "new"), "product": "DEMO-PLATE", "pattern": None}
    folder.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(folder).to_have_count(0)


def test_a_person_gets_another_role_and_password(page: Page) -> None:
    open_as(page, "admin", "/tech/users")
    added = {"username": "mover", "full_name": "異動者", "password": "first-password-1", "role": "inspector"}
    ask_api(page, "POST", "/users", added)
    page.reload()
    row = page.get_by_role("row").filter(has_text="mover")
    row.get_by_text("役割・パスワード").click()
    row.get_by_role("combobox", name="役割").click()
    page.get_by_role("option", name="監督者").click()
    row.get_by_label("新しいパスワード").fill("short")
    row.get_by_role("button", name="変更する").click()
    expect(row.get_by_role("alert")).to_be_visible()
    check_screen(page)
    row.get_by_label("新しいパスワード").fill("second-password-2")
    row.get_by_role("button", name="変更する").click()
    expect(row.get_by_role("cell", name="監督者")).to_be_visible()
    body = {"username": "mover", "password": "second-password-2", "cookie": False}
    origin = {"Origin": page.url.split("/#")[0].rstrip("/")}
    assert page.request.post("/api/v1/auth/login", data=body, headers=origin).ok


def test_everything_is_fetched_anew_only_when_asked_twice(page: Page) -> None:
    open_as(page, "technician", "/tech")
    page.get_by_role("button", name="再同期", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("未送信のデータは破棄されません")
    dialog.get_by_role("button", name="再同期").click()
    expect(page.get_by_text("(not-enrolled)")).to_be_visible()
