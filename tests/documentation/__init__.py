"""What the tests of the documentation share: pages generated from the code, and Markdown taken apart."""
