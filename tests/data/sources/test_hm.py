"""H&M in the format of its tables, with and without the leading 0, and the real day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources.hm import HM
from tastebench.data.text import item_texts
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

ARTICLES = (
    "article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,"
    "graphical_appearance_name,colour_group_name,department_name,index_name,section_name,"
    "garment_group_name,detail_desc\n"
    "0108775015,0108775,Strap top,253,Vest top,Garment Upper body,Solid,Black,Jersey Basic,"
    'Ladieswear,Womens Everyday Basics,Jersey Basic,"Top, in ""jersey"".\nNarrow straps."\n'
    '0110065001,0110065,OP T-shirt,306,Bra,Underwear,Solid,Black,Lingerie,"Lingeries/Tights",'
    'Womens Lingerie,"Under-, Nightwear",\n'
    "0999999999,0999999,Never bought,1,Cap,Accessories,Solid,Red,Caps,Menswear,Mens,Caps,A cap.\n"
    "0108775015,0108775,Strap top again,253,,,,,,,,,\n"
)
TRANSACTIONS = (
    "t_dat,customer_id,article_id,price,sales_channel_id\n"
    "2018-09-20,c1,0108775015,0.0508305084745762,2\n"
    "2018-09-20,c1,0110065001,0.0304915254237288,1\n"
    "2018-09-20,c1,0110065001,0.0304915254237288,1\n"
    "2018-09-21,c2,0777777777,,2\n"
)
CUSTOMERS = (
    "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
    "c1,,,ACTIVE,NONE,49.0,p\n"
    "c2,1.0,1.0,PRE-CREATE,Regularly,,p\n"
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "articles.csv").write_text(ARTICLES)
    (tmp_path / "transactions_train.csv").write_text(TRANSACTIONS)
    return tmp_path


def test_purchases_and_articles(raw: Path) -> None:
    tables = HM.read(raw)
    assert tables.users is None
    day = 1_537_401_600_000  # 2018-09-20T00:00Z
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "c1", "0108775015", day, 0.0508305084745762, 2),
        (1, "c1", "0110065001", day, 0.0304915254237288, 1),
        (2, "c1", "0110065001", day, 0.0304915254237288, 1),
        (3, "c2", "0777777777", day + 86_400_000, None, 2),
    ]
    assert tables.items.select("item_id", "title", "description", "index_name").rows() == [
        ("0108775015", "Strap top", 'Top, in "jersey".\nNarrow straps.', "Ladieswear"),
        ("0110065001", "OP T-shirt", None, "Lingeries/Tights"),
        ("0108775015", "Strap top again", None, None),
        ("0777777777", None, None, None),
    ]


def test_a_second_record_of_an_article_is_dropped_and_counted(raw: Path) -> None:
    tables, repairs = tidy(HM.read(raw), "hm")
    assert repairs == {"repeated items dropped": 1}
    dataset = Dataset.create(HM.card, tables)
    assert item_texts(dataset.tables.items, HM.card.text_recipe, HM.card.text_columns) == [
        'Strap top. Top, in "jersey". Narrow straps.',
        "OP T-shirt",
        "",
    ]


@pytest.mark.parametrize("which", ["articles.csv", "transactions_train.csv", "both"])
def test_ids_that_lost_their_zero_are_the_same_ids(which: str, raw: Path) -> None:
    whole = HM.read(raw)
    for name in ("articles.csv", "transactions_train.csv"):
        if which in (name, "both"):
            text = (raw / name).read_text().replace("\n0", "\n").replace(",01", ",1")
            (raw / name).write_text(text.replace(",07", ",7"))
    cut = HM.read(raw)
    assert cut.items["item_id"].to_list() == whole.items["item_id"].to_list()
    assert cut.interactions is not None
    assert whole.interactions is not None
    assert cut.interactions.equals(whole.interactions)


def test_an_index_column_without_a_name_is_ignored(raw: Path) -> None:
    path = raw / "articles.csv"
    head, *records = path.read_text().split("\n0")
    path.write_text("," + head + "".join(f"\n{i},0{r}" for i, r in enumerate(records)))
    assert HM.read(raw).items["title"].to_list()[0] == "Strap top"


def test_customers(raw: Path) -> None:
    (raw / "customers.csv").write_text(CUSTOMERS)
    users = HM.read(raw).users
    assert users is not None
    assert users.rows() == [
        ("c1", 49, "ACTIVE", "NONE", False, False),
        ("c2", None, "PRE-CREATE", "Regularly", True, True),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("20/09/2018,c1,0108775015,1,2\n", "t_dat is not YYYY-MM-DD in 1 row"),
        ("2018-09-20,c1,0108x,1,2\n", r"article_id is not a number .* \('0108x'\) in 1 row"),
        ("2018-09-20,c1,12345678901,1,2\n", "article_id is not a number of at most 10 digits"),
        ("2018-09-20,,0108775015,1,2\n", "customer_id is missing in 1 row"),
        ("2018-09-20,c1,0108775015,dear,2\n", "price is not a number"),
        ("\n", "t_dat is missing in 1 row"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, raw: Path) -> None:
    path = raw / "transactions_train.csv"
    path.write_text(TRANSACTIONS + line)
    with pytest.raises(DataError, match=what) as caught:
        HM.read(raw)
    assert caught.value.where == f"{path}, row 6"


def test_another_header_shows_the_columns_there(raw: Path) -> None:
    path = raw / "transactions_train.csv"
    path.write_text(TRANSACTIONS.replace("t_dat,customer_id", "date,customer"))
    with pytest.raises(DataError, match=r"no column t_dat, customer_id \(found: date, cust"):
        HM.read(raw)


def test_real_day(asset: Callable[[str], Path]) -> None:
    tables, repairs = tidy(HM.read(asset("data/hm-sample")), "hm")
    assert repairs == {}
    dataset = Dataset.create(HM.card, tables)
    assert (dataset.n_users, dataset.n_items, len(dataset.events().user)) == (2_954, 4_903, 10_000)
    assert dataset.tables.interactions is not None
    assert dataset.tables.interactions["time"].unique().to_list() == [1_537_401_600_000]
    items = dataset.tables.items
    assert items["title"].null_count() == 0
    assert items["description"].null_count() == 57
    assert items["item_id"].str.len_chars().unique().to_list() == [10]
    assert items["item_id"].str.starts_with("0").all()
    assert dataset.tables.users is not None
    assert len(dataset.tables.users) == 10_000
    assert dataset.tables.users["age"].null_count() == 126
    assert dataset.tables.users["fashion_news"].sum() == 3_421
