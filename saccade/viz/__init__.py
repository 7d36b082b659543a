"""Pictures and lines of text about what was looked at. Nothing here decides anything.

`view.TraceView` is the one thing that is drawn: made from a live `Trace` or from a stored row of answers. `trace` draws
it, `text` prints it. Matplotlib is loaded by `trace` alone, without pyplot and its global state.
"""
