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
        "no_central": (
            "The central server's half of the demo needs its packages: "
            "pip install 'imageflowcanvas-edge-agent[central,embedded]'."
        ),
        "central": "The central server runs at {url}, with a PostgreSQL and an object store of its own",
        "enrolled": "Enrolled. {rows} changes and {images} photographs wait to be sent ...",
        "drained": "The queue is empty after {seconds:.1f} s.",
        "caught_up": "Caught up after {seconds:.1f} s.",
        "not_drained": "The queue did not drain.",
        "changed": (
            "Changed centrally: the hole is to be {nominal} mm. In force here after {seconds:.1f} s; "
            "{image} is now {verdict}."
        ),
        "cut": "The central server is switched off. Inspecting on ...",
        "offline": "Judged without it: {verdicts}. {rows} changes and {images} photographs wait.",
        "restored": "The central server is back.",
        "same": "Both sides compared row by row, {rows} rows: they hold the same.",
        "not_same": "Both sides compared row by row, {rows} rows: they differ.",
        "failed": "Steps that did not hold: {steps}",
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
        "no_central": (
            "中央サーバーのデモには追加パッケージが必要です: "
            "pip install 'imageflowcanvas-edge-agent[central,embedded]'"
        ),
        "central": "中央サーバーが {url} で動作しています（PostgreSQL とオブジェクトストアも専用に起動）",
        "enrolled": "登録しました。変更 {rows} 件と画像 {images} 枚が送信待ちです ...",
        "drained": "{seconds:.1f} 秒で送信待ちがなくなりました。",
        "caught_up": "{seconds:.1f} 秒で追いつきました。",
        "not_drained": "送信待ちがなくなりませんでした。",
        "changed": (
            "中央で変更: 穴径の基準を {nominal} mm にしました。{seconds:.1f} 秒後にこの端末で有効になり、"
            "{image} は {verdict} と判定されました。"
        ),
        "cut": "中央サーバーを止めました。検査を続けます ...",
        "offline": "サーバーなしでの判定: {verdicts}。変更 {rows} 件と画像 {images} 枚が送信待ちです。",
        "restored": "中央サーバーが復旧しました。",
        "same": "両側の {rows} 行を 1 行ずつ照合しました。一致しています。",
        "not_same": "両側の {rows} 行を 1 行ずつ照合しました。一致していません。",
        "failed": "成り立たなかった手順: {steps}",
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
