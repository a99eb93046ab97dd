"""Files that a camera or a colleague dropped into a hot folder: to which session they belong, and in they go.

Rules of this file:
- `begin` starts the AI run, `finish` makes file and rows durable; only then may the folder remove its copy.
- The same bytes are taken once, whichever folder or name they come under, also after a kill between the
  commit and the removal: whoever brings them again is told `duplicate`.
- `current` adds to the open session of that serial number (or of the product, if files carry no serial);
  `auto` makes target and session itself, and joins an open automatic session of the same serial number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.errors import AgentError, BadInput, Conflict, NotFound
from edge_agent.images import ImageInfo
from edge_agent.inspection.intake import Capture, InFlight, Intake
from edge_agent.inspection.late import Added
from edge_agent.inspection.lookup import item_of
from edge_agent.inspection.running import Running
from edge_agent.inspection.scan import Scan
from edge_agent.inspection.sessions import Sessions, snapshot_item
from edge_agent.models import (
    AGENT,
    ImageSource,
    Item,
    Product,
    Session,
    SessionStatus,
    SnapshotItem,
)
from edge_agent.store import images, masters, sessions
from edge_agent.store.database import Database


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """One whole file. `sha256` is of `data`; `serial` and `lot` are '' where nothing says them.

    `automatic`: make the session (line camera); `accept_ai_ok`: its AI OKs need no person.
    """

    name: str
    data: bytes
    sha256: str
    info: ImageInfo
    product_code: str
    item_code: str
    serial: str
    lot: str
    automatic: bool
    accept_ai_ok: bool


@dataclass(frozen=True, slots=True)
class Duplicate:
    """These bytes were taken before, as `image_id`."""

    image_id: str


Begun = InFlight | Duplicate | AgentError
Taken = Added | Duplicate | AgentError


class DroppedFiles:
    """What hot folders hand their files to."""

    def __init__(
        self, database: Database, intake: Intake, inspections: Sessions, running: Callable[[], Running]
    ) -> None:
        self._db, self._intake, self._sessions, self._running = database, intake, inspections, running
        self._products: dict[str, tuple[Product, list[Item]]] = {}
        self._products_of: Running | None = None

    def begin(self, files: Sequence[DroppedFile]) -> list[Begun]:
        """Starts what can be started. An AgentError says why a file cannot; Unavailable is raised."""
        begun: list[Begun] = []
        with self._db.snapshot() as reader:
            known = images.known_sha256s(reader, [file.sha256 for file in files])
            try:
                for file in files:
                    is_known = file.sha256 in known
                    begun.append(Duplicate(known[file.sha256]) if is_known else self._begin(reader, file))
            except AgentError:
                self._intake.abandon([one for one in begun if isinstance(one, InFlight)])
                raise
        return begun

    def finish(self, begun: Sequence[Begun]) -> list[Taken]:
        """Makes everything begun durable. Raises Unavailable: then none was, and all may be brought again."""
        flights = [one for one in begun if isinstance(one, InFlight)]
        answers = dict(zip(flights, self._intake.finish(flights), strict=True)) if flights else {}
        return [_settled(answers[one]) if isinstance(one, InFlight) else one for one in begun]

    def _begin(self, reader: sqlite3.Connection, file: DroppedFile) -> Begun:
        try:
            product, items = self._product(reader, file.product_code)
            item, place = self._placement(reader, file, product, items)
        except (BadInput, Conflict) as error:
            return error
        scan = {
            "text": file.serial or file.name,
            "product_code": product.product_code,
            "lot": file.lot,
            "serial": file.serial,
        }
        capture = Capture(
            data=file.data,
            info=file.info,
            item=item,
            scan=scan,
            source=ImageSource.FOLDER,
            origin=file.name,
            actor=AGENT,
            place=place,
            sha256=file.sha256,
        )
        return self._intake.begin(capture)

    def _product(self, reader: sqlite3.Connection, product_code: str) -> tuple[Product, list[Item]]:
        if self._products_of is not self._running():
            self._products, self._products_of = {}, self._running()
        if product_code not in self._products:
            product = masters.find_product(reader, product_code)
            if product is None:
                raise NotFound(
                    f"No product {product_code!r} is known here.",
                    code="unknown-product",
                    hint="Correct the file's name or the folder's settings, or import the product's masters.",
                )
            self._products[product_code] = product, masters.list_items(reader, product.id)
        return self._products[product_code]

    def _placement(
        self, reader: sqlite3.Connection, file: DroppedFile, product: Product, items: list[Item]
    ) -> tuple[SnapshotItem, Callable[[sqlite3.Connection, str], Session]]:
        item = next((item for item in items if item.item_code == file.item_code), None)
        if item is None:
            raise NotFound(
                f"Product {product.product_code} has no item {file.item_code!r}.",
                code="unknown-item",
                hint="Correct the file's name or the folder's settings.",
            )
        open_now = find_open(reader, file, product)
        if open_now is None and not file.automatic:
            raise Conflict(
                "No open session waits for this file.",
                code="no-open-session",
                hint="Scan the product to start its session, then retry the file from the quarantine.",
            )

        def place(tx: sqlite3.Connection, sha256: str) -> Session:
            _refuse_known(tx, sha256)
            session = find_open(tx, file, product)
            return session or self._make_session(tx, file, product, items)

        return item_of(open_now, item.id) if open_now else snapshot_item(item), place

    def _make_session(
        self, tx: sqlite3.Connection, file: DroppedFile, product: Product, items: list[Item]
    ) -> Session:
        if not file.automatic:
            raise Conflict("The session was closed meanwhile.", code="no-open-session")
        scan = Scan(file.serial or file.name, product.product_code, file.lot, file.serial)
        target = self._sessions.insert_target(tx, product, scan, file.lot, file.serial)
        return self._sessions.insert_session(
            tx,
            target,
            product,
            items,
            AGENT,
            source="folder",
            accept_ai_ok=file.accept_ai_ok,
            status=SessionStatus.IN_PROGRESS,
        )


def find_open(reader: sqlite3.Connection, file: DroppedFile, product: Product) -> Session | None:
    """The open session the file belongs to: by serial number, else (no serial) an inspector's by product."""
    if file.serial:
        return sessions.open_session_of_serial(reader, product.id, file.serial, automatic=file.automatic)
    return None if file.automatic else sessions.open_session_of_product(reader, product.id)


def _refuse_known(tx: sqlite3.Connection, sha256: str) -> None:
    known = images.known_sha256s(tx, [sha256])
    if known:
        raise Conflict("These bytes were taken before.", code="duplicate-image", image_id=known[sha256])


def _settled(answer: Added | AgentError) -> Taken:
    if isinstance(answer, AgentError) and answer.code_ == "duplicate-image":
        return Duplicate(answer.context["image_id"])
    return answer
