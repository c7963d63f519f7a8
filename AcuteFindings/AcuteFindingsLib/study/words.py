"""What the free words of a DICOM header mean, in the languages that scanners are labeled in: one table for all.

Reading, choosing and checking a series ask the same table. Only meanings leave it, never the words of a header.

Where the words are from: the defined terms of Body Part Examined are those of PS3.16-2018a Table L-1 as DCMTK lists
them (`cid4031e.cc`); words seen in the Body Part Examined of public series are from the list that TCIA answers with
(printed by J. Muschelli, "Skull Stripping CT data", 2020: ABD PEL, AP PORTABLE CHE, J BRZUSZNA, LUMBO-SACRAL SP);
Siemens' kernels B60 to B80 are for higher sharpness by the manual of the SOMATOM Sensation Cardiac. Everything else,
the words of other languages and the kernels of other manufacturers among them, is everyday vocabulary written down
from memory: it is not copied from a terminology, and no list of it is complete. What is not understood is treated as
not stated.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

Part = Literal["head", "face", "neck", "chest", "breast", "abdomen", "pelvis", "spine", "limb"]

BODY_PARTS: Mapping[Part, str] = MappingProxyType(
    {
        "head": "HEAD BRAIN BRAINSTEM CEREBELL* CIRCLEOFWILLIS SELLA CAPUT PAA GLAVA SKULL CRANI* CRANE CRANEO* "
        "NEURO NEUROCRAN* INTRACRAN* CEREBR* CEPHAL* ENCEPHAL* ENCEFAL* CCT KOPF* SCHADEL* SCHAEDEL* HIRN* "
        "GEHIRN* TETE CERVEAU CABEZA CABECA TESTA CERVELLO HOOFD* HERSEN* SCHEDEL* HUVUD* HJARN* SKALLE* "
        "HODE* HJERNE* HOVED* KRANI* AIVO* AIVOT KALLO* GLOWA GLOWY MOZG* CZASZK* HLAVA HLAVY MOZEK LEBK* "
        "KOPONYA* BEYIN* KAFA ГОЛОВ* МОЗГ* МОЗК* ЧЕРЕП* ΚΕΦΑΛ* ΕΓΚΕΦΑΛ* ΚΡΑΝΙ* 頭 头 颅 顱 脑 腦 脳 두부 뇌 머리 두개 "
        "رأس دماغ ראש מוח",
        "face": "FACE FACIAL EYE EYES EAR EARS IAC MASTOID* OPTICCANAL PAROTID* TEMPORALBONE* SINUS* NASAL NOSE "
        "ORBIT* JAW MANDIB* MAXILL* TEETH DENTAL ZYGOMA TMJ MOUTH TONGUE NASENNEBENHOHLEN NNH MASSIF 副鼻腔 鼻窦",
        "neck": "NECK CERVIC* HALS HALSREGION KAULA COU CUELLO COLLO PESCOCO SZYJ* KRK KRKU NYAK* BOYUN CAROTI* "
        "LARYN* PHARYN* THYROID* SUBMANDIBULAR ШЕЯ ШЕИ ΤΡΑΧΗΛ* 頸 颈 경부",
        "chest": "CHEST CXR THOR THORAX THORAC* THORAK* TORAX TORAC* TORAK* THX HEMITHORAX LUNG LUNGS LUNGE LUNGEN* "
        "LUNGOR BRONCH* TRACHE* ESOPHAG* SCJOINT HEART HERZ PULM* CARDIA* CARDIO* CORONAR* RIB RIBS "
        "COSTILLA* STERNUM MEDIASTIN* POITRINE POUMON* CHE PECHO PETTO POLMON* PULMAO BRUSTKORB BRUSTRAUM "
        "BORSTKAS LONGEN BROSTKORG BRYSTKASSE KEUHKO* RINTAKEHA KLATK* PLUC* PLIC* HRUD* GRUDN* MELLKAS* "
        "AKCIGER* GOGUS* CTPA LAE ГРУД* ЛЕГК* ОГК ΘΩΡΑΚ* ΠΝΕΥΜΟΝ* 胸 肺 흉부 가슴 폐 صدر חזה ריאות",
        "breast": "BREAST BREASTS MAMM* MAMA SENO 乳",
        "abdomen": "ABD ABDO ABDOM* KUB BILEDUCT GALLBLADDER DUODEN* JEJUN* ILEUM LARGEINTESTINE SMALLINTESTINE "
        "UPRURINARYTRACT ADRENAL* BAUCH* OBERBAUCH* UNTERBAUCH* VENTRE VIENTRE ADDOM* BUIK* BUK BUKEN MAVE "
        "VATSA* BRZUCH* BRZUSZN* BRICH* BATIN LIVER HEPAT* LEBER* FOIE HIGADO FEGATO KIDNEY* RENAL NIERE* "
        "URETER* UROGRA* PANCREA* SPLEEN STOMACH COLON* BOWEL ENTERO* ЖИВОТ* БРЮШН* ΚΟΙΛΙ* 腹 肝 복부 بطن בטן",
        "pelvis": "PEL PELV* RECTUM URETHRA ILIUM SIJOINT CERVIX UTERUS OVARY BECKEN* BASSIN BACINO BACIA BEKKEN* "
        "MIEDNIC* PANEV* PANVE BLADDER PROSTAT* ТАЗ ТАЗА 骨盤 骨盆 골반",
        "spine": "SPINE* CSPINE CTSPINE TSPINE TLSPINE LSPINE LSSPINE SSPINE COCCYX LUMBA* LUMBO* LOMBA* SACR* "
        "VERTEBR* WIRBEL* HWS BWS LWS COLUMNA COLUNA RACHIS COLONNA LENDEN* KREGOSLUP* ПОЗВОНОЧ* 脊 椎 척추",
        "limb": "EXM ACJOINT CLAVIC* SESAMOID LLEG RLEG LARM RARM HAND HANDS WRIST FINGER* THUMB FOREARM ELBOW "
        "HUMERUS ARM ARMS SHOULDER SCAPULA FOOT FEET TOE TOES ANKLE CALCAN* HEEL TIBIA FIBULA LEG LEGS KNEE "
        "KNEES PATELLA FEMUR THIGH CALF HIP HIPS EXTREM* LOWEXM UPEXM RADIUS ULNA SCAPHOID RUNOFF MANO "
        "RODILLA HOMBRO CADERA PIERNA BRAZO GENOU EPAULE HANCHE JAMBE POIGNET COUDE CHEVILLE KNIE FUSS "
        "SCHULTER HUFTE HUEFTE BEIN BEINE UNTERSCHENKEL OBERSCHENKEL PIEDE GINOCCHIO SPALLA GAMBA POLSO "
        "GOMITO VOET SCHOUDER HEUP ELLEBOOG КОЛЕН* КИСТ* СТОП* 手 足 膝 肩 腿 肘 무릎 어깨",
    }
)
"""Body parts by word; ``*`` stands for any further letters. Upper case without accents."""

# Words that stand glued to a body part without being one: CTHEAD, CHESTPA, WOCHEST.
_BESIDE = (
    "CT XR XRAY CR DX RX RTG PA AP LAT LL W WO CTA PORT PORTABLE ANGIO NATIV ROUTINE LOW DOSE AND UND ET AUFNAHME WITH"
)

# "W/O", "WO IV CONT", "NON-CON", "OHNE KM", "SIN CONTRASTE", ...
_WITHOUT = r"WITHOUT|SANS|SIN|SEM|SENZA|OHNE|ZONDER|UTAN|UDEN|UTEN|ILMAN|BEZ|БЕЗ"
_WITH = r"WITH|AVEC|CON|COM|MIT|MET|MED|С"
_PLAIN = (
    r"W/?O(?:UT)?(?: (?:IV|INTRAVENOUS))?(?: ?CON\w*)?|"
    rf"(?:{_WITHOUT})"
    r"(?: (?:I\.?V\.?|INTRAVENOUS|ANY|MEDIO|MDC))?(?: (?:CON|KON|KM|INJ|ENH|КОН|VARJO)\w*)?|"
    r"O\. ?KM|S\. ?MDC|S/C(?:TE|ONT\w*)?|NO (?:IV |ORAL )?(?:CON\w*|KM|MDC|INJ\w*)|"
    r"CON\w*(?: IV)? ?: ?(?:NO|NONE|WITHOUT)|"
    r"NON? ?-?(?:(?:CON|KON|ENH)\w*|CE|C)|PRE ?-?CON\w*|"
    r"NC|NCCT|NECT|NATIV\w*|UNENH\w*|UNCONTR\w*|PLAIN|SIMPLE|BASALE|BLANCO|VUE|VNC|VNE|TNC|"
    r"VIRTUAL NON ?-?\w+|KONTRASTSIZ|НАТИВ\w*"
)
_PLAIN_SIGNS = re.compile(r"(?<!\w)(?:C-|-C|IV-)(?!\w)|平扫|平掃|単純|비조영")
_AND = r"(?:AND|UND|ET|Y|E|EN|OG|OCH|I|И|&|/|\+)"
_BOTH = re.compile(
    r"\bW(?:ITH)? ?(?:AND|&|/|\+|,)? ?(?:W/?O|WITHOUT)\b|"
    r"\b(?:W/?O|WITHOUT) (?:(?:AND|&|/|THEN) )?(?:W|WITH)\b|PRE ?(?:AND|&|/|\+) ?POST|"
    rf"\b(?:{_WITH}) ?{_AND} ?(?:{_WITHOUT})\b|\b(?:{_WITHOUT}) ?{_AND} ?(?:{_WITH})\b|"
    rf"\bNATIV\w* ?{_AND} ?(?:MIT )?K(?:M|ON\w*)\b"
)
_ENHANCED = (
    r"CTP?A|ANGIO\w*|CE ?-?CT|CECT|CE|ENHANCED|ENH|POST ?-?(?:CON|KM|GAD|INJ)\w*|"
    r"(?:WITH|W/?|MIT|AVEC|APRES|NACH|CON|COM|MED|MET) (?:I\.?V\.?|CO?NT?\w*|ENH\w*|KON\w*|KM|MDC|MEZZO|INJ\w*|CIV)|"
    r"[MN]\. ?KM|KM ?-?CT|C/CTE|CONTRAST\w*|KONTRAST\w*|КОНТРАСТ\w*|ARTERI\w*|VENOUS|VENOS\w*|"
    r"PORTOVEN\w*|EMBOL\w*|LUNGENEMBOLIE|PE"
)
_ENHANCED_SIGNS = re.compile(r"(?<!\w)(?:C\+|\+C|IV\+)(?!\w)|增强|増強|造影|조영")
# Of what is drunk nothing is in the vessels.
_ORAL = re.compile(r"BY MOUTH|ORAL\w*|PER ?OS|P\.?O\.?|BARIUM\w*|WATER|WASSER|GASTROGRAF\w*|ONLY")
_NO_AGENT = re.compile(
    r"N|NO|NO (?:IV|CM|KM|AGENT|DYE)|NONE|NOT (?:GIVEN|APPLI\w*|USED|DONE)|N/?A|NIL|NEIN|NON|0|OFF|FALSE|"
    r"(?:WITHOUT|OHNE|SIN|SANS|SEM|SENZA|БЕЗ).*|KEIN\w*|AUCUN\w*|NINGUN\w*|NENHUM\w*|NESSUN\w*|GEEN|INGEN|BRAK|"
    r"ZADN\w*|НЕТ|無|なし|无|없음"
)
_UNSTATED_AGENT = re.compile(r"UNKNOWN|UNBEKANNT|[-.?*]*")

ANGIOGRAM = "pulmonary angiogram"
"""What the name of a protocol for the pulmonary arteries means."""

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "slab": r"MIPS?|MAX ?IP|MIN ?IP|MINIPS?|VRT|VR|RAYSUM|SSD|VOLUME RENDER\w*|(?:MAXIMUM|MINIMUM) INTENSITY\w*|"
        r"SLABS?|THICK ?MIP|THIN ?MIP",
        "material map": r"IODINE(?! CONTRAST)|IODINE ?MAP|JODKARTE|JOD ?BILD|PBV|PERFUSED BLOOD VOLUME|Z ?EFF|"
        r"EFFECTIVE Z|EFF Z|ELECTRON DENSITY|MATERIAL DENSITY|URIC ACID|MD (?:IODINE|WATER)|CBF|CBV|MTT|TTP|TMAX",
        "lung": r"LUNG\w*|PULMON\w*|POUMON\w*|POLMON\w*",
        "bone": r"BONE|BONES|KNOCHEN\w*|SKELETT?|OS|OSSO|OSSEUX|HUESO|BOT|OSSEA",
        "lateral": r"LAT|LATERAL\w*|LLAT|RLAT|LL|PROFIL\w*|PERFIL|SEITLICH\w*|БОКОВ\w*|BOCZN\w*|BOCN\w*",
        "frontal": r"PA|AP|P\.A\.?|A\.P\.?|FRONTAL\w*|POSTERO\w*|ANTERO\w*|FRENTE|DE FACE|ПРЯМ\w*",
        "decubitus": r"DECUB\w*|LLD|RLD",
        ANGIOGRAM: r"PE|CTPA|LAE|EMBOL\w*|LUNGENEMBOLIE|EP|TEP",
        "localizer": r"LOCALI[ZS]\w*|SCOUT\w*|TOPO|TOPOGRAM\w*|SURVIEW\w*|SCANO|SCANOGRAM\w*|PILOT",
    }
)
_LATERAL_SIGNS = re.compile(r"侧位|側位|側面|측면")
_FRONTAL_SIGNS = re.compile(r"正位|正面|후전|전후")

# Kernels of these names are for lung or bone: Siemens letters and two digits from 60 up and the lung kernels Bl; GE and
# Canon by name and number; Philips L (lung) and the sharp Y series.
_LUNG_KERNEL = re.compile(r"LUNG|^BL\d\d|^FC5\d|^L$|^[A-Z]{1,2}[6-9]\d")
_BONE_KERNEL = re.compile(r"BONE|EDGE|^[A-Z]{1,2}[6-9]\d|^Y[A-F]?$|^E$|^FC[38]\d")

# PS3.3 C.11.1.1.2; GE writes HOUNDSFIELD UNIT, others H.U. or the whole word.
_HU = re.compile(r"^\[?(?:H\.?U\.?|HOU?N?\w*F[IE]{1,2}LD.*|US|UNSPECIFIED|)\]?$")
_NOT_HU = {"MGML": "mg/ml", "Z_EFF": "effective atomic numbers", "ED": "electron densities",
           "EDW": "electron densities", "PCT": "percent", "OD": "optical densities"}  # fmt: skip


def normalized(text: str) -> str:
    """Return upper case without accents, underscores and repeated blanks."""
    plain = unicodedata.normalize("NFKD", text.upper().replace("Ł", "L").replace("Ø", "O").replace("ß", "SS"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    # NFKD takes Hangul apart too; put together what is left.
    return " ".join(unicodedata.normalize("NFC", plain).replace("_", " ").split())


def parts_of(text: str) -> frozenset[Part]:
    """Return the body parts that a text names, as whole words or compounds of them."""
    # Chest, abdomen and pelvis in one scan.
    text = re.sub(r"\b(?:C/?A/?P|T/?A/?P)\b", "CHEST ABD PELVIS", normalized(text))
    found = _parts(text)
    if "spine" in found:
        # The thoracic or cervical spine is not the chest or the neck.
        found = _parts(re.sub(r"THORA[CK]\w*|TORA[CK]\w*|CERVIC\w*|DORSAL\w*", " ", text)) | {"spine"}
    return found


def kinds_of(*texts: str) -> frozenset[str]:
    """Return what texts say of an image's kind, view and purpose: keys of the table and ``"plain"``, ``"enhanced"``.

    ``"plain"`` is without contrast (also virtually), ``"enhanced"`` with it; a text that names both says neither.
    """
    found: set[str] = set()
    for text in map(normalized, texts):
        found |= {kind for kind, pattern in _KIND_PATTERNS.items() if pattern.search(text)}
        if _LATERAL_SIGNS.search(text):
            found.add("lateral")
        if _FRONTAL_SIGNS.search(text):
            found.add("frontal")
        found |= _contrast_of(text)
    return frozenset(found)


def agent_given(text: str) -> bool | None:
    """Return whether Contrast/Bolus Agent (0018,0010) says that there was one; None where it says nothing."""
    agent = normalized(text)
    if _UNSTATED_AGENT.fullmatch(agent):
        return None
    if _ORAL.search(agent) and not re.sub(rf"{_ORAL.pattern}|\W", "", agent):
        return None
    return not _NO_AGENT.fullmatch(agent) and "plain" not in kinds_of(agent)


def is_lung_kernel(kernel: str) -> bool:
    """Whether a convolution kernel (0018,1210) is one for lungs."""
    return bool(_LUNG_KERNEL.search(normalized(kernel)))


def is_bone_kernel(kernel: str) -> bool:
    """Whether a convolution kernel (0018,1210) is one for bone."""
    return bool(_BONE_KERNEL.search(normalized(kernel)))


def unit_of(rescale_type: str) -> str:
    """Return ``"HU"``, the unit in words where Rescale Type (0028,1054) names another, or ``"?"`` where unknown."""
    kind = normalized(rescale_type).replace(" ", "_") if rescale_type.strip() else ""
    if _HU.match(kind):
        return "HU"
    return _NOT_HU.get(kind, "?")


def _parts(text: str) -> frozenset[Part]:
    found: set[Part] = set()
    for word in _WORD.findall(text):
        if _COMPOUND.fullmatch(word):
            found |= {part for piece in _PIECE.finditer(word) if (part := piece.lastgroup) in BODY_PARTS}  # type: ignore[misc]
    found |= {part for part, signs in _SIGNS.items() if any(sign in text for sign in signs)}
    return frozenset(found)


def _contrast_of(text: str) -> set[str]:
    if _BOTH.search(text):
        return set()
    rest, plain = _PLAIN_PATTERN.subn(" ", text)
    if plain or _PLAIN_SIGNS.search(text):
        # "CTA without contrast": what is left beside it is the name of a protocol.
        return {"plain"}
    return {"enhanced"} if _ENHANCED_PATTERN.search(rest) or _ENHANCED_SIGNS.search(text) else set()


def _as_words(pattern: str) -> re.Pattern[str]:
    """Match a pattern as words: digits may touch it, letters may not."""
    return re.compile(rf"(?<![^\W\d_])(?:{pattern})(?![^\W\d_])")


def _any(words: Iterable[str]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return "|".join(word.replace("*", r"[^\W\d_]*?") for word in longest_first)


def _is_sign(word: str) -> bool:
    """Whether a word is of a script that writes without blanks, so that it is found inside others."""
    return ord(word[0]) > 0x2E80


_SIGNS = {part: [word for word in words.split() if _is_sign(word)] for part, words in BODY_PARTS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_GROUPS = "|".join(
    f"(?P<{part}>{_any(word for word in words.split() if not _is_sign(word))})" for part, words in BODY_PARTS.items()
)
_PIECE = re.compile(f"{_GROUPS}|(?P<beside>{_any(_BESIDE.split())})")
_COMPOUND = re.compile("(?:" + re.sub(r"\?P<\w+>", "?:", _PIECE.pattern) + ")+")
_KIND_PATTERNS = {kind: _as_words(pattern) for kind, pattern in _KINDS.items()}
_PLAIN_PATTERN = _as_words(_PLAIN)
_ENHANCED_PATTERN = _as_words(_ENHANCED)
