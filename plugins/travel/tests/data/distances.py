"""Makes distances.tsv: distances by other means than the detector's.

On the sphere: the angle between two unit vectors by atan2 of cross and dot product, in 50 digits. On
the ellipsoid (WGS 84): Karney's algorithm as in geographiclib (PyPI, MIT), version 2.
Run as `python3 distances.py > distances.tsv` where `geographiclib` and `mpmath` are installed.
"""
import random
from geographiclib.geodesic import Geodesic
from mpmath import mp, mpf, sin, cos, atan2, sqrt, radians

mp.dps = 50
EARTH = mpf("6371.0088")

def vector(lat, lon):
    lat, lon = radians(mpf(repr(lat))), radians(mpf(repr(lon)))
    return (cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat))

def sphere(a, b):
    (x, y, z), (u, v, w) = vector(*a), vector(*b)
    cross = (y * w - z * v, z * u - x * w, x * v - y * u)
    return EARTH * atan2(sqrt(sum(c * c for c in cross)), x * u + y * v + z * w)

random.seed(20261120)
point = lambda: (round(random.uniform(-90, 90), 4), round(random.uniform(-180, 180), 4))
pairs = [(point(), point()) for _ in range(300)]
for _ in range(100):
    a = point()
    pairs.append((a, (max(-90.0, min(90.0, round(a[0] + random.gauss(0, 1), 4))), round(a[1] + random.gauss(0, 1), 4))))
pairs += [((0.0, 0.0), (0.0, 180.0)), ((90.0, 0.0), (-90.0, 0.0)), ((0.0, 179.9), (0.0, -179.9)), ((52.5, 13.4), (52.5, 13.4)),
          ((52.52, 13.405), (40.7128, -74.006)), ((1.3521, 103.8198), (-33.8688, 151.2093)), ((89.9, 0.0), (89.9, 180.0))]
print("# Made by distances.py: latitude, longitude, to latitude, to longitude, km on the sphere, km on WGS 84")
for a, b in pairs:
    ellipsoid = Geodesic.WGS84.Inverse(*a, *b)["s12"] / 1000
    print(*a, *b, mp.nstr(sphere(a, b), 15), f"{ellipsoid:.9f}", sep="\t")
