"""What requests have in common: bodies, keys, and pages of lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.desk.reading import MOST
from service.desk.shapes import Shape
from service.desk.writing import word
from service.errors import BodyTooLarge
from service.web.problems import BadRequest, Unfit

Endpoint = Callable[[Request], Awaitable[Response]]
M = TypeVar("M", bound=BaseModel)
LARGEST_BODY = 64 * 1024
#: Regular expressions of ECMA 262 for texts that databases can compare: printable, or empty;
#: and with something to be seen.
PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
SEEN = r"^ *[^\p{C}\p{Z}](?:[^\p{C}\p{Z}]| )*$"
WORD: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": SEEN}
#: A header has no spaces at its ends, and no other characters than those of Latin-1.
KEY: dict[str, Any] = WORD | {
    "pattern": "^[!-~\u00a1-\u00ac\u00ae-\u00ff](?:[ -~\u00a1-\u00ac\u00ae-\u00ff]*"
    "[!-~\u00a1-\u00ac\u00ae-\u00ff])?$"
}
Word = Annotated[str, AfterValidator(word), WithJsonSchema(WORD)]
FLAGS: Mapping[str, bool] = {"1": True, "true": True, "0": False, "false": False}


def showing(show: Callable[[str], Shape]) -> Endpoint:
    """Make the endpoint that shows one record by its id."""

    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(show, request.path_params["id"]))

    return endpoint


# --- lists ----------------------------------------------------------------------


async def listed(
    request: Request, show: Callable[..., Shape], *also: str, **asked: Any
) -> Response:
    """Answer one page of a list; `after` is a text.

    `asked` holds what `show` is given. A parameter that is neither `limit` nor one of these,
    as `case_id` is that of `caseId`, nor among `also`, is a BadRequest that names the known ones.
    """
    demand_known(request, ("limit", *map(as_written, asked), *also))
    limit = request.query_params.get("limit", "50")
    if not is_number(limit) or not 1 <= int(limit) <= MOST:
        raise BadRequest(f"`limit` is a number from 1 to {MOST}.")
    for value in asked.values():
        if isinstance(value, str) and not value.isprintable():
            raise BadRequest("A filter consists of printable characters.")
    return JSONResponse(await run_in_threadpool(lambda: show(limit=int(limit), **asked)))


async def numbered(
    request: Request, show: Callable[..., Shape], *also: str, **asked: Any
) -> Response:
    """Answer one page of a list that is paged by a number."""
    after = request.query_params.get("after")
    if after is not None and not is_number(after):
        raise BadRequest("`after` is the `next` of the page before.")
    return await listed(request, show, *also, after=int(after) if after else None, **asked)


def demand_known(request: Request, names: Sequence[str]) -> None:
    """Raise BadRequest for a parameter of another name: unseen, a misspelt filter shows all."""
    known = sorted(set(names))
    if not set(request.query_params) <= set(known):
        said = ", ".join(f"`{name}`" for name in known)
        raise BadRequest(f"There is a parameter that is not known here; these are: {said}.")


def as_written(name: str) -> str:
    """Write `case_id` as `caseId`."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def flag(request: Request, name: str) -> bool:
    """Read a parameter that is true or false; false when it is not there. Raises BadRequest."""
    said = request.query_params.get(name, "false").lower()
    if said not in FLAGS:
        raise BadRequest(f"`{name}` is true or false.")
    return FLAGS[said]


def is_number(text: str) -> bool:
    """Say whether this is a number that any database can compare."""
    return text.isascii() and text.isdigit() and len(text) < 19


# --- bodies and keys ------------------------------------------------------------


def key_of(request: Request) -> str | None:
    """Read the Idempotency-Key, if there is one. Raises BadRequest."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    try:
        return f"api:{word(key)}"
    except ValueError:
        raise BadRequest("Idempotency-Key: 1 to 200 printable characters.") from None


async def body_of(request: Request, kind: type[M], *, may_be_empty: bool = False) -> M:
    """Read a body. Raises Unfit, which tells every thing that is wrong with it, or BodyTooLarge."""
    body = await small_body(request)
    if may_be_empty and not body.strip():
        body = b"{}"
    try:
        return kind.model_validate_json(body)
    except ValidationError as exc:
        raise Unfit(explain(exc)) from None


async def small_body(request: Request) -> bytes:
    """Read a body of the API. Raises BodyTooLarge."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(f"The body is larger than {LARGEST_BODY} bytes.")
    return body


def explain(exc: ValidationError) -> str:
    """Say every thing that is wrong with a body, without its values."""
    said = (
        f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}"
        for error in exc.errors(include_input=False, include_url=False)
    )
    return "; ".join(said)
