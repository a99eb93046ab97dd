"""What an operator writes to change one master, read strictly: every fault with its place.

Rules of this file:
- A field means what it means in a bundle; the same models read both.
- What `show` prints may be sent back: fields that only the server sets are taken and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from edge_agent.errors import BadDefinition
from edge_agent.inference.documents import problems_of
from edge_agent.masters.bundle import Code, Email, Id, ItemRow, ProductRow, Text
from edge_agent.models import Role

SERVERS_OWN = frozenset(
    {"created_at", "updated_at", "created_by", "sha256", "definition_version", "can_log_in"}
)
B = TypeVar("B", bound=BaseModel)
Name50 = Annotated[str, StringConstraints(min_length=1, max_length=50)]
Schema = dict[str, Any] | None


class ProductBody(ProductRow):
    version: Name50
    is_active: bool = True
    row_version: int | None = None


class ItemBody(ItemRow):
    is_active: bool = True
    row_version: int | None = None


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    id: Id | None = None
    is_active: bool = True
    row_version: int | None = None


class PipelineBody(_Body):
    """`definition`: a pipeline/1 document; its code is the pipeline's."""

    definition: dict[str, Any]
    name: Text | None = None
    description: Annotated[str, StringConstraints(max_length=4000)] | None = None


class UserBody(_Body):
    """A person without a password cannot log in; one that has one keeps it unless another is given."""

    username: Code
    full_name: Text
    role: Annotated[Role, Field(strict=False)]
    email: Email | None = None
    password: SecretStr | None = None


class ComponentBody(_Body):
    name: Text
    version: Name50
    docker_image: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    description: Annotated[str, StringConstraints(max_length=4000)] | None = None
    input_schema: Schema = None
    output_schema: Schema = None
    resource_requirements: Schema = None


def read_body(kind: type[B], document: Mapping[str, Any], ignored: frozenset[str] = frozenset()) -> B:
    """The document as the body of a change. Raises BadDefinition with every fault's JSON pointer."""
    stated = {name: value for name, value in document.items() if name not in SERVERS_OWN | ignored}
    try:
        return kind.model_validate(stated)
    except ValidationError as error:
        problems = problems_of(error, "", "")
        raise BadDefinition(f"the document has {len(problems)} problem(s)", problems) from None
