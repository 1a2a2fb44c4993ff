"""The categories of the three Amazon releases, spelled as in their file names."""

from __future__ import annotations

AMAZON_2014: dict[str, int] = {
    "Amazon_Instant_Video": 37_126,
    "Apps_for_Android": 752_937,
    "Automotive": 20_473,
    "Baby": 160_792,
    "Beauty": 198_502,
    "Books": 8_898_041,
    "CDs_and_Vinyl": 1_097_592,
    "Cell_Phones_and_Accessories": 194_439,
    "Clothing_Shoes_and_Jewelry": 278_677,
    "Digital_Music": 64_706,
    "Electronics": 1_689_188,
    "Grocery_and_Gourmet_Food": 151_254,
    "Health_and_Personal_Care": 346_355,
    "Home_and_Kitchen": 551_682,
    "Kindle_Store": 982_619,
    "Movies_and_TV": 1_697_533,
    "Musical_Instruments": 10_261,
    "Office_Products": 53_258,
    "Patio_Lawn_and_Garden": 13_272,
    "Pet_Supplies": 157_836,
    "Sports_and_Outdoors": 296_337,
    "Tools_and_Home_Improvement": 134_476,
    "Toys_and_Games": 167_597,
    "Video_Games": 231_780,
}
"""Category to reviews in the 5-core, as the release's page states them."""

AMAZON_2018: dict[str, int] = {
    "AMAZON_FASHION": 3_176,
    "All_Beauty": 5_269,
    "Appliances": 2_277,
    "Arts_Crafts_and_Sewing": 494_485,
    "Automotive": 1_711_519,
    "Books": 27_164_983,
    "CDs_and_Vinyl": 1_443_755,
    "Cell_Phones_and_Accessories": 1_128_437,
    "Clothing_Shoes_and_Jewelry": 11_285_464,
    "Digital_Music": 169_781,
    "Electronics": 6_739_590,
    "Gift_Cards": 2_972,
    "Grocery_and_Gourmet_Food": 1_143_860,
    "Home_and_Kitchen": 6_898_955,
    "Industrial_and_Scientific": 77_071,
    "Kindle_Store": 2_222_983,
    "Luxury_Beauty": 34_278,
    "Magazine_Subscriptions": 2_375,
    "Movies_and_TV": 3_410_019,
    "Musical_Instruments": 231_392,
    "Office_Products": 800_357,
    "Patio_Lawn_and_Garden": 798_415,
    "Pet_Supplies": 2_098_325,
    "Prime_Pantry": 137_788,
    "Software": 12_805,
    "Sports_and_Outdoors": 2_839_940,
    "Tools_and_Home_Improvement": 2_070_831,
    "Toys_and_Games": 1_828_971,
    "Video_Games": 497_577,
}
"""Category to reviews in the 5-core, as the release's page states them."""

AMAZON_2023: tuple[str, ...] = (
    "All_Beauty",
    "Amazon_Fashion",
    "Appliances",
    "Arts_Crafts_and_Sewing",
    "Automotive",
    "Baby_Products",
    "Beauty_and_Personal_Care",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Gift_Cards",
    "Grocery_and_Gourmet_Food",
    "Handmade_Products",
    "Health_and_Household",
    "Health_and_Personal_Care",
    "Home_and_Kitchen",
    "Industrial_and_Scientific",
    "Kindle_Store",
    "Magazine_Subscriptions",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Software",
    "Sports_and_Outdoors",
    "Subscription_Boxes",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Unknown",
    "Video_Games",
)
"""33 named categories and the release's own `Unknown`."""


def slug(category: str) -> str:
    """The category as it stands in a dataset's name.

    >>> slug("CDs_and_Vinyl")
    'cds-and-vinyl'
    """
    return category.lower().replace("_", "-")


def words(category: str) -> str:
    """The category as prose.

    >>> words("CDs_and_Vinyl")
    'CDs and Vinyl'
    """
    return category.replace("_", " ")
