r"""What \p{Name} means in Latin-1: categories, Latin and Common; other scripts are empty.

The names are those that google-re2 1.1.20251105 accepts (Unicode 15); the members of a general
category come from Python's unicodedata.
"""

from __future__ import annotations

import functools
import unicodedata

from vyre_dist.regex import charclass

_CATEGORIES = """
    C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl
    Zp Zs
"""

# Scripts with no code point below U+0100.
_SCRIPTS_OUTSIDE_LATIN1 = """
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali
    Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian
    Chakma Cham Cherokee Chorasmian Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret
    Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian
    Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya
    Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi
    Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi
    Khitan_Small_Script Khmer Khojki Khudawadi Lao Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian
    Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek
    Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar
    Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham
    Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian
    Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau
    Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham
    SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa
    Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta
    Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi
    Yezidi Yi Zanabazar_Square
"""


@functools.lru_cache(maxsize=512)
def unicode_class(name: str) -> int | None:
    """The bytes in Unicode class `name`, or None if RE2 knows no such name; case matters."""
    if name == "Any":
        return charclass.ALL
    if name in _CATEGORIES.split():
        return charclass.of(b for b in range(256) if unicodedata.category(chr(b)).startswith(name))
    if name in ("Latin", "Common"):
        # The micro sign is the one Latin-1 letter whose script is Common.
        latin = charclass.of(
            b for b in range(256) if unicodedata.category(chr(b))[0] == "L" and b != 0xB5
        )
        return latin if name == "Latin" else charclass.negate(latin)
    return 0 if name in _SCRIPTS_OUTSIDE_LATIN1.split() else None
