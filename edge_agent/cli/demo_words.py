"""What the demo says, in English and Japanese.

Rules of this file:
- The same keys in both languages; figures and addresses are filled in by `demo.py`.
"""

from __future__ import annotations

WORDS = {
    "en": {
        "started": "The agent runs at {url}",
        "importing": "Importing the demo masters (product, items, pipelines, model, users) ...",
        "dropping": "Dropping {count} photographs into {folder}",
        "matching": "All {count} verdicts are as expected.",
        "differing": "{wrong} of {count} verdicts are not as expected:",
        "open": (
            "The console: {url}  ·  log in as inspector, technician or admin; the password is demo.\n"
            "The API: {url}/api/v1/openapi.json. For example:\n"
            "  curl -s {url}/api/v1/auth/login -H 'Content-Type: application/json' "
            '-d \'{{"username":"inspector","password":"demo"}}\'\n'
            "The plates are drawn by a program: the figures show that the parts work together, no more."
        ),
        "serving": "Serving until Ctrl-C.",
    },
    "ja": {
        "started": "エージェントが {url} で動作しています",
        "importing": "デモ用マスター（製品・検査項目・パイプライン・モデル・利用者）を取り込んでいます ...",
        "dropping": "{count} 枚の画像を {folder} に入れます",
        "matching": "{count} 枚すべて期待どおりの判定です。",
        "differing": "{count} 枚中 {wrong} 枚の判定が期待と異なります:",
        "open": (
            "検査コンソール: {url}  ·  利用者 inspector・technician・admin、パスワードは demo\n"
            "API 記述: {url}/api/v1/openapi.json。例:\n"
            "  curl -s {url}/api/v1/auth/login -H 'Content-Type: application/json' "
            '-d \'{{"username":"inspector","password":"demo"}}\'\n'
            "プレートは描画プログラムによるものです。数値は各部が連携して動くことだけを示します。"
        ),
        "serving": "Ctrl-C で終了します。",
    },
}
