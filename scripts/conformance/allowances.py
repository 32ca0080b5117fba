"""What the API's document can't say, so that Schemathesis takes right answers for right."""

import schemathesis

# Why a request is refused although each of its parameters is as the document has it.
RELATIONS = {
    "inverted_window",
    "inverted_prices",
    "foreign_cursor",
    "future_version",
    "epoch_ended",
    "version_expired",
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """The published contract gives local times the format of RFC 3339's, which have an offset.

    The document has their pattern besides, and that is held against the answers.
    """
    for name in ("start_time", "end_time"):
        del raw_schema["components"]["schemas"]["EventSummary"]["properties"][name]["format"]


@schemathesis.check
def only_relations_are_refused(ctx, response, case):
    """A read whose parameters are as the document has them is refused for nothing else."""
    if response.status_code not in (400, 410) or case.method != "GET":
        return
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    code = response.json()["error"]["code"]
    assert code in RELATIONS, f"refused as {code}: {case.as_curl_command()}"
