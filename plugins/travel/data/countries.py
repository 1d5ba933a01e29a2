"""Makes countries.tsv: where countries lie, how large they are, and which ones are near each other.

Run as `python3 countries.py > countries.tsv`. Needs nothing but the standard library and, for the
radius of long and scattered countries, the zone.tab of the time zone database (public domain).

FACTS: ISO 3166-1 code, a point in the middle (degrees), area (km2, rounded), land borders. The
codes, areas and borders are facts as found in GeoNames' countryInfo.txt (geonames.org, CC BY 4.0);
the points and the list of close sea neighbours were written down for this project.
"""
import math, re
FACTS = """
AD 42.5 1.6 468 ES FR|AE 24.0 54.0 82880 SA OM|AF 33.0 66.0 647500 TM CN IR TJ PK UZ|AG 17.1 -61.8 443|AI 18.2 -63.1 102
AL 41.0 20.0 28748 MK GR ME RS XK|AM 40.2 45.0 29800 GE IR AZ TR|AO -12.5 18.5 1246700 CD NA ZM CG|AQ -80.0 0.0 14000000
AR -34.0 -64.0 2766890 CL BO UY PY BR|AS -14.3 -170.7 199|AT 47.5 14.0 83858 CH DE HU SK CZ IT SI LI|AU -25.0 134.0 7686850
AW 12.5 -70.0 193|AX 60.2 20.0 1580|AZ 40.4 47.5 86600 GE IR AM TR RU|BA 44.0 18.0 51129 HR ME RS|BB 13.2 -59.5 431
BD 24.0 90.0 144000 MM IN|BE 50.7 4.6 30510 DE NL LU FR|BF 12.5 -1.6 274200 NE BJ GH CI TG ML|BG 42.8 25.2 110910 MK GR RO TR RS
BH 26.0 50.5 665|BI -3.4 29.9 27830 TZ CD RW|BJ 9.5 2.3 112620 NE TG BF NG|BL 17.9 -62.8 21|BM 32.3 -64.8 53|BN 4.5 114.7 5770 MY
BO -17.0 -65.0 1098580 PE CL PY BR AR|BQ 12.2 -68.3 328|BR -10.0 -53.0 8511965 SR PE BO UY GY PY GF VE CO AR|BS 24.5 -76.5 13940
BT 27.4 90.4 47000 CN IN|BV -54.4 3.4 49|BW -22.0 24.0 600370 ZW ZA NA ZM|BY 53.5 28.0 207600 PL LT UA RU LV|BZ 17.2 -88.6 22966 GT MX
CA 60.0 -96.0 9984670 US GL|CC -12.2 96.9 14|CD -3.0 23.5 2345410 TZ CF SS RW ZM BI UG CG AO|CF 6.6 20.9 622984 TD SD CD SS CM CG
CG -0.8 15.5 342000 CF GA CD CM AO|CH 46.8 8.2 41290 DE IT LI FR AT|CI 7.6 -5.5 322460 LR GH GN BF ML|CK -21.2 -159.8 240
CL -33.5 -71.0 756950 PE BO AR|CM 5.7 12.7 475440 TD CF GA GQ CG NG|CN 36.0 104.0 9596960 LA BT TJ KZ MN AF NP MM KG PK KP RU VN IN HK MO
CO 4.0 -73.0 1138910 EC PE PA BR VE|CR 10.0 -84.0 51100 PA NI|CU 21.5 -79.0 110860 US|CV 15.1 -23.6 4033|CW 12.2 -69.0 444
CX -10.5 105.7 135|CY 35.0 33.2 9250|CZ 49.8 15.5 78866 PL DE SK AT|DE 51.0 10.0 357021 CH PL NL DK BE CZ LU FR AT|DJ 11.8 42.6 23000 ER ET SO
DK 56.0 10.0 43094 DE|DM 15.4 -61.4 754|DO 19.0 -70.7 48730 HT|DZ 28.0 2.6 2381740 NE EH LY MR TN MA ML|EC -1.5 -78.5 283560 PE CO
EE 58.7 25.5 45226 RU LV|EG 27.0 30.0 1001450 LY SD IL PS|EH 24.5 -13.0 266000 DZ MR MA|ER 15.3 38.8 121320 ET SD DJ
ES 40.0 -4.0 504782 AD PT GI FR MA|ET 8.6 39.6 1127127 ER KE SD SS SO DJ|FI 64.0 26.0 337030 NO RU SE|FJ -17.8 178.0 18270
FK -51.7 -59.2 12173|FM 6.9 158.2 702|FO 62.0 -7.0 1399|FR 46.6 2.4 547030 CH DE BE LU IT AD MC ES|GA -0.8 11.7 267667 CM GQ CG
GB 54.0 -2.5 244820 IE|GD 12.1 -61.7 344|GE 42.0 43.5 69700 AM AZ TR RU|GF 4.0 -53.0 91000 SR BR|GG 49.5 -2.6 78|GH 7.9 -1.2 239460 CI TG BF
GI 36.14 -5.35 7 ES|GL 72.0 -40.0 2166086 CA|GM 13.4 -15.4 11300 SN|GN 10.4 -10.9 245857 LR SN SL CI GW ML|GP 16.2 -61.5 1780
GQ 1.7 10.3 28051 GA CM|GR 39.0 22.5 131940 AL MK TR BG|GS -54.4 -36.6 3903|GT 15.7 -90.3 108890 MX HN BZ SV|GU 13.4 144.8 549
GW 12.0 -15.0 36120 SN GN|GY 4.9 -58.9 214970 SR BR VE|HK 22.3 114.2 1092 CN|HM -53.1 73.5 412|HN 14.8 -86.6 112090 GT NI SV
HR 45.2 16.0 56542 HU SI BA ME RS|HT 19.0 -72.6 27750 DO|HU 47.2 19.5 93030 SK SI RO UA HR AT RS|ID -2.5 117.0 1919440 PG TL MY
IE 53.2 -8.0 70280 GB|IL 31.4 35.0 20770 SY JO LB EG PS|IM 54.2 -4.5 572|IN 22.0 79.0 3287590 CN NP MM BT PK BD|IO -7.3 72.4 60
IQ 33.0 43.7 437072 SY SA IR JO TR KW|IR 32.5 54.0 1648000 TM AF IQ AM PK AZ TR|IS 65.0 -18.5 103000|IT 42.8 12.5 301230 CH VA SI SM FR AT
JE 49.2 -2.1 116|JM 18.1 -77.3 10991|JO 31.2 36.4 92300 SY SA IQ IL PS|JP 36.5 138.0 377835|KE 0.5 37.9 582650 ET TZ SS SO UG
KG 41.4 74.6 198500 CN TJ UZ KZ|KH 12.7 104.9 181040 LA TH VN|KI 1.4 173.0 811|KM -12.0 43.8 2170|KN 17.3 -62.7 261
KP 40.1 127.2 120540 CN KR RU|KR 36.4 127.9 98480 KP|XK 42.6 20.9 10908 RS AL MK ME|KW 29.3 47.6 17820 SA IQ|KY 19.3 -81.2 262
KZ 48.0 67.0 2717300 TM CN KG UZ RU|LA 18.5 103.8 236800 CN MM KH TH VN|LB 33.9 35.9 10400 SY IL|LC 13.9 -61.0 616|LI 47.15 9.55 160 CH AT
LK 7.8 80.7 65610|LR 6.5 -9.3 111370 SL CI GN|LS -29.6 28.2 30355 ZA|LT 55.3 23.9 65200 PL BY RU LV|LU 49.8 6.1 2586 DE BE FR
LV 56.9 24.9 64589 LT EE BY RU|LY 27.0 18.0 1759540 TD NE DZ SD TN EG|MA 32.0 -6.3 446550 DZ EH ES|MC 43.73 7.42 2 FR|MD 47.2 28.5 33843 RO UA
ME 42.8 19.2 14026 AL HR BA RS XK|MF 18.08 -63.06 53 SX|MG -19.4 46.7 587040|MH 7.1 171.2 181|MK 41.6 21.7 25333 AL GR BG RS XK
ML 17.4 -3.5 1240000 SN NE DZ CI GN MR BF|MM 21.2 96.5 678500 CN LA TH BD IN|MN 46.8 103.1 1565000 CN RU|MO 22.16 113.56 30 CN|MP 15.2 145.7 477
MQ 14.65 -61.0 1100|MR 20.3 -10.3 1030700 SN DZ EH ML|MS 16.75 -62.19 102|MT 35.9 14.4 316|MU -20.3 57.6 2040|MV 3.2 73.2 300
MW -13.2 34.3 118480 TZ MZ ZM|MX 23.9 -102.5 1972550 GT US BZ|MY 4.2 108.0 329750 BN TH ID|MZ -17.3 35.5 801590 ZW TZ SZ ZA ZM MW
NA -22.1 17.2 825418 ZA BW ZM AO|NC -21.3 165.5 19060|NE 17.4 9.4 1267000 TD BJ DZ LY BF NG ML|NF -29.03 167.95 35|NG 9.6 8.1 923768 TD NE BJ CM
NI 12.8 -85.0 129494 CR HN|NL 52.2 5.6 41526 DE BE|NO 64.5 13.0 324220 FI RU SE|NP 28.2 83.9 140800 CN IN|NR -0.5 166.9 21|NU -19.05 -169.9 260
NZ -41.5 172.5 268680|OM 20.6 56.1 212460 SA YE AE|PA 8.5 -80.1 78200 CR CO|PE -9.2 -74.4 1285220 EC CL BO BR CO|PF -17.6 -149.5 4167
PG -6.5 145.2 462840 ID|PH 12.0 122.5 300000|PK 30.0 69.4 803940 CN AF IR IN|PL 52.1 19.4 312685 DE LT SK CZ BY UA RU|PM 46.9 -56.3 242
PN -25.07 -130.1 47|PR 18.2 -66.4 9104|PS 31.9 35.2 5970 JO IL EG|PT 39.6 -8.0 92391 ES|PW 7.4 134.5 458|PY -23.2 -58.4 406750 BO BR AR
QA 25.3 51.2 11437 SA|RE -21.1 55.5 2517|RO 45.9 25.0 237500 MD HU UA BG RS|RS 44.2 20.8 88361 AL HU MK RO HR BA BG ME XK
RU 60.0 90.0 17100000 GE CN BY UA KZ LV PL EE LT FI MN NO AZ KP|RW -2.0 29.9 26338 TZ CD BI UG|SA 24.0 45.0 1960582 QA OM IQ YE JO AE KW
SB -9.0 160.0 28450|SC -4.68 55.49 455|SD 15.9 30.2 1861484 SS TD EG ET ER LY CF|SS 7.3 30.3 644329 CD CF ET KE SD UG|SE 62.0 16.5 449964 NO FI
SG 1.35 103.8 693|SH -15.95 -5.7 410|SI 46.1 14.8 20273 HU IT HR AT|SJ 78.6 16.5 62049|SK 48.7 19.5 48845 PL HU CZ UA AT|SL 8.5 -11.8 71740 LR GN
SM 43.94 12.46 61 IT|SN 14.4 -14.5 196190 GN MR GW GM ML|SO 5.5 46.0 637657 ET KE DJ|SR 4.1 -55.9 163270 GY BR GF|ST 0.3 6.7 1001
SV 13.7 -88.9 21040 GT HN|SX 18.04 -63.06 34 MF|SY 35.0 38.5 185180 IQ JO IL TR LB|SZ -26.5 31.5 17363 ZA MZ|TC 21.8 -71.8 430
TD 15.4 18.7 1284000 NE LY CF SD CM NG|TF -49.3 69.5 7829|TG 8.6 1.0 56785 BJ GH BF|TH 15.1 101.0 514000 LA MM KH MY|TJ 38.5 71.0 143100 CN AF KG UZ
TK -9.2 -171.8 10|TL -8.8 125.8 15007 ID|TM 39.1 59.4 488100 AF IR UZ KZ|TN 34.1 9.6 163610 DZ LY|TO -20.0 -174.8 748|TR 39.0 35.4 780580 SY GE IQ IR GR AM AZ BG
TT 10.5 -61.3 5128|TV -8.0 178.5 26|TW 23.7 121.0 35980|TZ -6.3 34.8 945087 MZ KE CD RW ZM BI UG MW|UA 49.0 31.4 603700 PL MD HU SK BY RO RU
UG 1.3 32.4 236040 TZ KE SS CD RW|UM 19.3 166.6 34|US 39.5 -98.5 9629091 CA MX CU|UY -32.8 -56.0 176220 BR AR|UZ 41.7 63.1 447400 TM AF KG TJ KZ
VA 41.903 12.453 1 IT|VC 13.2 -61.2 389|VE 7.1 -66.2 912050 GY BR CO|VG 18.45 -64.5 153|VI 18.1 -64.8 352|VN 16.0 107.0 329560 CN LA KH
VU -16.2 167.7 12200|WF -13.3 -176.2 274|WS -13.75 -172.2 2944|YE 15.9 47.6 527970 SA OM|YT -12.8 45.15 374
ZA -29.0 25.1 1219912 ZW SZ MZ BW NA LS|ZM -13.5 27.8 752614 ZW TZ MZ CD NA MW AO BW|ZW -19.0 29.9 390580 ZA MZ BW ZM
"""
# Countries without a land border that a ferry, bridge or short hop joins: at most some 150 km of water.
SEA = """
GB-FR GB-BE GB-NL GB-IM GB-JE GB-GG FR-JE FR-GG GG-JE IE-IM DK-SE DK-NO DE-SE FI-EE SE-AX FI-AX SG-MY SG-ID HK-MO BH-SA BH-QA JP-KR JP-RU
IT-MT IT-GR IT-AL IT-TN IT-HR IT-ME GI-MA CY-TR CY-LB CY-SY LK-IN PG-AU PG-SB PH-MY PH-ID TW-CN TT-VE AW-VE CW-VE BQ-VE AW-CW CW-BQ
BS-US BS-TC BS-CU BS-HT AI-MF AI-SX MF-BL SX-BL SX-BQ KN-BQ KN-AG KN-MS MS-AG MS-GP AG-GP GP-DM DM-MQ MQ-LC LC-VC VC-GD LC-BB VC-BB GD-TT
VG-VI VI-PR VG-AI PR-DO HT-CU HT-TC HT-JM CU-JM CU-KY CU-MX EG-SA EG-JO SD-SA ER-YE DJ-YE SO-YE IR-AE IR-OM IR-KW IR-QA IR-BH AE-QA KM-YT
MU-RE GQ-NG WS-AS MP-GU SJ-NO PM-CA ES-DZ
"""

def distance(a, b):
    (la, lo), (lb, lp) = [(math.radians(x), math.radians(y)) for x, y in (a, b)]
    h = math.sin((lb - la) / 2) ** 2 + math.cos(la) * math.cos(lb) * math.sin((lp - lo) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))

def zones():
    cities = {}
    def degrees(text):
        digits = text[1:]
        whole = 3 if len(digits) in (5, 7) else 2
        value = int(digits[:whole]) + int(digits[whole:whole + 2]) / 60
        return -value if text[0] == "-" else value
    for line in open("/usr/share/zoneinfo/zone.tab"):
        if line.startswith("#"): continue
        code, place = line.split("\t")[:2]
        lat, lon = re.match(r"([+-]\d+)([+-]\d+)", place).groups()
        cities.setdefault(code, []).append((degrees(lat), degrees(lon)))
    return cities

table, land = {}, {}
for entry in FACTS.replace("\n", "|").split("|"):
    if entry:
        code, lat, lon, area, *borders = entry.split()
        assert code not in table, code
        table[code] = (float(lat), float(lon), float(area))
        land[code] = set(borders)
sea = {code: set() for code in table}
for pair in SEA.split():
    a, b = pair.split("-")
    sea[a].add(b); sea[b].add(a)
for code, borders in land.items():
    for other in borders:
        assert code in land[other], f"{code} borders {other}, but not the other way round"
    assert not borders & sea[code], (code, borders & sea[code])
cities = zones()
for code in cities:
    assert code in table, f"{code} is missing"
print("# Made by countries.py; see there for sources.")
print("# code\tlatitude\tlongitude\tradius, km\tland borders\tclose across the sea")
for code in sorted(table):
    lat, lon, area = table[code]
    radius = 1.5 * math.sqrt(area / math.pi)
    far = sorted(distance((lat, lon), city) for city in cities.get(code, []))
    # Where a country is long or scattered, its time zones tell it; far islands of few people do not count.
    if far:
        radius = max(radius, far[len(far) // 2])
    radius = math.ceil(radius / 10) * 10
    print(f"{code}\t{lat:g}\t{lon:g}\t{radius}\t{' '.join(sorted(land[code]))}\t{' '.join(sorted(sea[code]))}".rstrip())
