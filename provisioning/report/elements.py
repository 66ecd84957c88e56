"""HTML and SVG as trees: text put into an element is escaped when the tree is written, always."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring


def element(tag: str, *children: Element | str, **attributes: str | float) -> Element:
    """Return an element; `class_` becomes `class`, other underscores become hyphens."""
    found = Element(tag, {_attribute(name): _value(value) for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            _append_text(found, last, child)
        else:
            found.append(child)
            last = child
    return found


def html(*elements: Element) -> str:
    """Return the elements as HTML text."""
    return "\n".join(tostring(each, encoding="unicode", method="html") for each in elements)


def table(headings: tuple[str, ...], rows: list[Element]) -> Element:
    """Return a table that scrolls sideways by itself when it is too wide."""
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *rows)),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label="table",
    )


def _append_text(parent: Element, last: Element | None, text: str) -> None:
    if last is None:
        parent.text = (parent.text or "") + text
    else:
        last.tail = (last.tail or "") + text


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-") if name != "viewBox" else name


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
