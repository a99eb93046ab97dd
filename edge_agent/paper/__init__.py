"""What is recorded, as PDF documents in Japanese or English to print, sign and file.

Rules of this package:
- Nothing is read here: whoever prints gathers the records (`inspection.trace`) and hands them over.
- What a document says is decided in `session` and `history`; how it looks is `sheet`'s alone.
"""
