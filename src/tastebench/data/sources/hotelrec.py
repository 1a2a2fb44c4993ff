"""HotelRec: fifty million reviews of hotels on TripAdvisor, 2001-2019, as JSON lines.

Nothing describes the hotels but the address of their page, which holds the number of the place, the
name and where it is: `Hotel_Review-g194775-d1121769-Reviews-Hotel_Baltic-Giulianova_Abruzzo.html`.
The number behind the d is the item's id; TripAdvisor gives it to one place only.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.json_lines import refuse, select_json_lines
from tastebench.data.sources.reading import need

_REVIEW = {
    "hotel_url": pl.String(),
    "author": pl.String(),
    "date": pl.String(),
    "rating": pl.Float64(),
}
_DATE = "%Y-%m-%dT%H:%M:%S"


def read(raw: Path) -> Tables:
    """All reviews, without their texts, and the hotels they are of; `user_id` may be null."""
    path = need(raw, _REVIEWS)
    author = pl.col("author").str.strip_chars()
    date = pl.col("date").str.to_datetime(_DATE, time_unit="ms", strict=False)
    reviews = select_json_lines(
        path,
        _REVIEW,
        (
            pl.when(author != "").then(author).alias("user_id"),
            # A few hundred thousand addresses, repeated: kept as numbers until each is read once.
            pl.when(pl.col("hotel_url") != "").then("hotel_url").cast(pl.Categorical),
            date.dt.timestamp("ms").alias("time"),
            pl.col("rating"),
        ),
        needed=("hotel_url", "rating"),
    )
    refuse(path, reviews["time"].is_null(), "date is not of the form YYYY-MM-DDTHH:MM:SS")
    hotels = read_addresses(reviews["hotel_url"].unique(maintain_order=True))
    interactions = reviews.join(
        hotels.select("hotel_url", "item_id"), on="hotel_url", how="left", maintain_order="left"
    ).select("user_id", "item_id", "time", "rating")
    # A hotel that was renamed has several addresses and goes by the one met first.
    items = hotels.drop("hotel_url").unique("item_id", keep="first", maintain_order=True)
    return Tables(items=items, interactions=interactions.with_row_index("row"))


def read_addresses(urls: pl.Series) -> pl.DataFrame:
    """hotel_url as given, item_id, title and location of the addresses of hotels.

    The location follows the last hyphen, so that a hyphen of the name stays with the name. An
    address of another form is its own id and has no text.
    """
    url = pl.col("hotel_url").cast(pl.String)
    page = url.str.extract(r"-Reviews-(.*?)(?:\.html?)?$")
    place = page.str.extract_groups(r"^(?:(?<title>.*)-)?(?<location>[^-]*)$")
    frame = pl.DataFrame({"hotel_url": urls}).with_columns(
        pl.coalesce(url.str.extract(r"(?:^|-)(d\d+)-Reviews-"), url).alias("item_id"),
        place.alias("place"),
    )
    # Without a hyphen all there is is a name.
    return frame.unnest("place").select(
        "hotel_url",
        "item_id",
        pl.coalesce("title", "location").map_batches(_words, pl.String()).alias("title"),
        pl.when(pl.col("title").is_not_null())
        .then("location")
        .map_batches(_words, pl.String())
        .alias("location"),
    )


def _words(slugs: pl.Series) -> pl.Series:
    """`Hotel_Caf%C3%A9` as words; what is empty becomes null."""
    rows = slugs.fill_null("").str.contains("%", literal=True).arg_true()
    if len(rows):
        slugs = slugs.clone().scatter(rows, [unquote(slug) for slug in slugs.gather(rows)])
    text = slugs.str.replace_all(r"[_\s]+", " ").str.strip_chars()
    return pl.select(pl.when(text != "").then(text)).to_series()


def with_author(tables: Tables) -> pl.DataFrame:
    """Reviews that name who wrote them."""
    assert tables.interactions is not None
    return tables.interactions.drop_nulls("user_id")


_REVIEWS = RawFile(
    path="HotelRec.txt",
    also=("HotelRec/HotelRec.txt", "HotelRec.txt.gz"),
    url="http://lia.epfl.ch/Datasets/Full_HotelRec.zip",
    unpack=True,
)

HOTELREC = Source(
    DatasetCard(
        name="hotelrec",
        title="HotelRec",
        summary="Ratings of 365,056 hotels by 22 million people on TripAdvisor, 2001-2019.",
        source="https://github.com/Diego999/HotelRec",
        licence="no licence stated; offered by EPFL for research; do not redistribute",
        citation=(
            "Diego Antognini and Boi Faltings. 2020. HotelRec: a Novel Very Large-Scale Hotel "
            "Recommendation Dataset. LREC."
        ),
        tasks=("seqrec", "cf", "ctr"),
        text_columns=("title", "location"),
        text_recipe="all-text",
        files=(_REVIEWS,),
        known=Counts(users=21_891_294, items=365_056, interactions=50_264_531),
        seen_on="format",
        notes=(
            "All 50 million lines (47 GB) are read, once, without the texts of the reviews: some "
            "10 GB of memory.",
            "Names and places are those of the address of a hotel's page, as is its id (d1121769).",
            "Reviews without an author are left out, and counted.",
            "Times have the resolution of a day; within a day the order of the file counts.",
        ),
    ),
    read,
    rules=(with_author,),
)
