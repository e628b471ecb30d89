"""One HTTP client: exact queries, keep-alive, bounded waiting, an Answer for everything."""

from collections.abc import Callable

import aiohttp
from yarl import URL

from oneprice.venues.contract import Answer, Request

CALLS_MAX = 128  # at once: who paces knows better, and an order must not wait behind data
Connectors = Callable[[], aiohttp.BaseConnector]
BODY_BYTES_MAX = 64 * 1024 * 1024  # the largest instrument list of a venue is about 10 MB


def over_tcp() -> aiohttp.BaseConnector:
    """How venues are reached."""
    return aiohttp.TCPConnector(limit=CALLS_MAX)


class Http:
    """Sends requests to one venue's hosts; whatever happens, an Answer comes back."""

    def __init__(
        self,
        endpoints: dict[str, str],
        timeout_ms: int = 5_000,
        connector: Connectors = over_tcp,
    ) -> None:
        self._endpoints = endpoints
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        """Status 0 means that no answer came: the outcome at the venue is unknown."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, connector=self._connector()
            )
        url = self._endpoints[request.host] + request.path
        if request.query:
            url = f"{url}?{request.query}"
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),  # a signature covers the query as it was written
                data=request.body or None,
                headers=dict(request.headers),
                allow_redirects=False,
            ) as response:
                body = await response.content.read(BODY_BYTES_MAX)
                while not response.content.at_eof() and len(body) < BODY_BYTES_MAX:
                    body += await response.content.read(BODY_BYTES_MAX - len(body))
                headers = tuple((k.lower(), v) for k, v in response.headers.items())
                return Answer(
                    tag=request.tag,
                    status=response.status,
                    body=body,
                    headers=headers,
                    order_id=request.order_id,
                    order_ids=request.order_ids,
                )
        except TimeoutError:
            return self._nothing(request, "timeout")
        except (aiohttp.ClientError, OSError) as error:
            return self._nothing(request, type(error).__name__)

    @staticmethod
    def _nothing(request: Request, detail: str) -> Answer:
        return Answer(
            tag=request.tag,
            status=0,
            order_id=request.order_id,
            order_ids=request.order_ids,
            detail=detail,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
