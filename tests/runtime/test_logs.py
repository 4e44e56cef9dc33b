"""Logs are JSON, one object per line, whatever is logged."""

import io
import json
import logging

from splitee.runtime.logs import log_to


def test_events_are_lines_of_json() -> None:
    logger, out = logging.getLogger("splitee.serve"), io.StringIO()
    before = logger.handlers, logger.propagate, logger.level
    try:
        log_to(out, "warning")
        logger.info("not shown")
        logger.warning("infer", extra={"fields": {"status": 503, "error": 'two\nlines and "marks"'}})
        try:
            raise ValueError("boom")
        except ValueError as error:
            logger.error("failed", exc_info=error)
    finally:
        logger.handlers, logger.propagate, logger.level = before
        logging.getLogger("uvicorn.error").handlers = []
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["level"], first["event"], first["status"]) == ("warning", "infer", 503)
    assert first["error"] == 'two\nlines and "marks"'
    assert second["error"].startswith("Traceback")
    assert second["error"].endswith("ValueError: boom\n")
