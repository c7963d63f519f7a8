"""Files that are no studies: model packages and what is imported, tables, recipes, findings, scenes, corrections."""

import json
import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.resources import resource_path
from fuzz import bases
from fuzz.mutations import damage, damage_json_bytes, damage_text, odd_text
from fuzz.trial import Trial, plain_trial
from jobs.conftest import write_tiny
from training.data.builders import build_corrections

# Model packages.


@cache
def _package() -> dict[str, bytes]:
    return _files(write_tiny("lungs", bases.scratch() / "packages"))


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _sealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with checksums that fit: what is wrong must be seen in the files themselves."""
    import hashlib

    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "checksums.json"}
    return {**files, "checksums.json": json.dumps(sums).encode()}


def package(rng: np.random.Generator, folder: Path) -> Trial:
    """A model package of which one file is damaged, sealed again or not, as a folder or a zip."""
    files = dict(_package())
    name = list(files)[int(rng.integers(len(files)))]
    if rng.random() < 0.4:
        name = "configs/metadata.json"
    if name.endswith(".json"):
        files[name] = damage_json_bytes(json.loads(files[name]), rng)
    else:
        files[name] = damage(files[name], rng)
    sealed = name != "checksums.json" and rng.random() < 0.8
    files = _sealed(files) if sealed else files
    if rng.random() < 0.3:
        return _zipped(files, rng, folder, name)
    _write(folder / "package", files)
    told = f"package: {name} damaged{', sealed again' if sealed else ''}"
    return plain_trial(told, lambda: _verify(folder / "package"))


def _zipped(files: dict[str, bytes], rng: np.random.Generator, folder: Path, told: str) -> Trial:
    from AcuteFindingsLib.models.download.archive import extract_steps

    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{odd_text(rng)}/{name}" if rng.random() < 0.02 else f"top/{name}", data)
    data = out.getvalue()
    (folder / "package.zip").write_bytes(damage(data, rng) if rng.random() < 0.7 else data)

    def run() -> None:
        for _ in extract_steps(folder / "package.zip", folder / "unpacked"):
            pass
        outside = {path.name for path in folder.iterdir()} - {"package.zip", "unpacked"}
        assert not outside, f"written beside its folder: {outside}"
        _verify(folder / "unpacked")

    return plain_trial(f"package in a zip: {told} damaged", run)


def _verify(folder: Path) -> None:
    from AcuteFindingsLib.models.package import read_package
    from AcuteFindingsLib.models.verify import verify_package

    found = read_package(folder)
    found.summary()
    verify_package(found)


@cache
def _sources() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Return what can be imported, by name: architecture, and its one or several files."""
    import torch
    from monai.networks.nets import BasicUNet

    class Bright(torch.nn.Module):
        def forward(self, images):
            return 20 * (images - 0.5)

    folder = bases.scratch() / "sources"
    folder.mkdir()
    example = torch.rand(1, 1, 32, 32)
    torch.jit.trace(Bright().eval(), example).save(str(folder / "a.ts"))
    torch.onnx.export(
        Bright().eval(), (example,), str(folder / "a.onnx"), input_names=["images"], output_names=["out"],
        dynamic_axes={"images": {0: "n"}, "out": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    unet = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [8, 8, 8, 8, 8, 8]}
    state = BytesIO()
    torch.save(BasicUNet(**unet).state_dict(), state)
    bundle = {
        "configs/metadata.json": json.dumps({"version": "0.3.1", "network_data_format": {}}).encode(),
        "configs/inference.json": json.dumps({"network_def": {"_target_": "BasicUNet", **unet}}).encode(),
        "models/model.pt": state.getvalue(),
    }
    return {
        "TorchScript": ("torchscript", {"source.ts": (folder / "a.ts").read_bytes()}),
        "ONNX": ("onnx", {"source.onnx": (folder / "a.onnx").read_bytes()}),
        "MONAI bundle": ("monai-bundle", bundle),
        "checkpoint": ("densenet121", {"source.pt": state.getvalue()}),
        "Keras": ("", {"source.h5": _keras(folder / "a.h5")}),
    }


def _keras(path: Path) -> bytes:
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"conv2d", b"dense"]
        group.attrs["keras_version"] = b"2.8.0"
        for name, shape in (("conv2d", (3, 3, 3, 8)), ("dense", (8, 1))):
            layer = group.create_group(name)
            layer.create_dataset(f"{name}/kernel:0", data=np.ones(shape, np.float32))
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode()]
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": []}}).encode()
        file.attrs["keras_version"] = b"2.8.0"
    return path.read_bytes()


def source(rng: np.random.Generator, folder: Path) -> Trial:
    """A file of another program to import, damaged."""
    from AcuteFindingsLib.detectors.importing import import_model, recognize
    from AcuteFindingsLib.models.importing.converted import Options

    kinds = _sources()
    kind = list(kinds)[int(rng.integers(len(kinds)))]
    architecture, files = kinds[kind]
    files = dict(files)
    name = list(files)[int(rng.integers(len(files)))]
    is_json = name.endswith(".json")
    files[name] = damage_json_bytes(json.loads(files[name]), rng) if is_json else damage(files[name], rng)
    path = _write(folder / "source", files)
    path = path if len(files) > 1 else path / name

    def run() -> None:
        known = recognize(path)
        import_model(
            path,
            architecture=architecture or known,
            out=folder / "out",
            options=Options(task="lungs", size=32),
            prove=False,
        )

    return plain_trial(f"{kind}: {name} damaged", run)


@cache
def _weights() -> dict[str, bytes]:
    """Return the members of a checkpoint that PyTorch wrote."""
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    out = BytesIO()
    torch.save({"epoch": 3, "state_dict": network.state_dict(), "hyper_parameters": {"lr": 0.1, "sizes": (1, 2)}}, out)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def weights(rng: np.random.Generator, folder: Path) -> Trial:
    """A PyTorch file of weights of which one member, with a checksum that fits, or the archive is damaged."""
    from AcuteFindingsLib.models.public.torch_file import read_torch_file

    files = dict(_weights())
    name = next(n for n in files if n.endswith("data.pkl"))
    if rng.random() < 0.2:
        name = list(files)[int(rng.integers(len(files)))]
    files[name] = damage(files[name], rng)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    data = damage(out.getvalue(), rng) if rng.random() < 0.2 else out.getvalue()
    (folder / "weights.pt").write_bytes(data)

    def run() -> None:
        for array in read_torch_file(folder / "weights.pt").values():
            assert array.nbytes <= len(data), "more numbers than the file has"
            array.sum()

    return plain_trial(f"weights: {name} damaged", run)


# Text and JSON.


def table(rng: np.random.Generator, folder: Path) -> Trial:
    """A table of predictions in any form, its cells or its bytes damaged."""
    from AcuteFindingsLib.evaluation.predictions import read_predictions
    from AcuteFindingsLib.evaluation.tables import read_table

    rows = [["image", "pneumothorax", "effusion"]]
    rows += [[f"case{n:03d}.png", f"{p:.3f}", f"{1 - p:.3f}"] for n, p in enumerate(rng.random(30))]
    for _ in range(int(rng.integers(0, 4))):
        row = rows[int(rng.integers(len(rows)))]
        row[int(rng.integers(len(row)))] = odd_text(rng)
    form = ("csv", "tsv", "semicolons", "utf-16", "xlsx")[int(rng.integers(5))]
    if form == "xlsx":
        data = _workbook(rows)
    else:
        text = "\n".join(("\t" if form == "tsv" else ";" if form == "semicolons" else ",").join(row) for row in rows)
        data = (damage_text(text, rng) if rng.random() < 0.5 else text).encode(
            "utf-16" if form == "utf-16" else "utf-8"
        )
    ending = "xlsx" if form == "xlsx" else "tsv" if form == "tsv" else "csv"
    path = folder / f"table.{ending}"
    path.write_bytes(damage(data, rng) if rng.random() < 0.6 else data)

    def run() -> None:
        read_table(path)
        read_predictions(path)

    return plain_trial(f"table: {form}", run)


def _workbook(rows: list[list[str]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([cell.replace("\u0000", "") for cell in row])
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def recipe(rng: np.random.Generator, folder: Path) -> Trial:
    """A training recipe with changed lines, or damaged bytes."""
    from AcuteFindingsLib.training.recipes.read import read_recipe

    shipped = sorted(resource_path("Recipes").glob("*.yaml"))
    text = shipped[int(rng.integers(len(shipped)))].read_text(encoding="utf-8")
    path = folder / "recipe.yaml"
    if rng.random() < 0.05:
        text = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{n}: &{n} [{', '.join([f'*{before}'] * 9)}]\n" for before, n in zip("abcdefgh", "bcdefghi", strict=True)
        )
    data = (damage_text(text, rng) if rng.random() < 0.7 else text).encode()
    path.write_bytes(damage(data, rng) if rng.random() < 0.3 else data)
    return plain_trial("recipe", lambda: read_recipe(path))


def catalogue(rng: np.random.Generator, folder: Path) -> Trial:
    """A catalogue of models with changed values."""
    from AcuteFindingsLib.models.download.catalogue import load_catalogue

    whole = json.loads(resource_path("Models", "catalogue.json").read_bytes())
    (folder / "catalogue.json").write_bytes(damage_json_bytes(whole, rng))
    return plain_trial("catalogue", lambda: load_catalogue(folder / "catalogue.json"))


def servers(rng: np.random.Generator, folder: Path) -> Trial:
    """A file of image archives with changed values."""
    from AcuteFindingsLib.pacs.servers import read_servers

    text = (
        '[ward]\nurl = "https://pacs.example/dicom-web"\ntoken_file = "token.txt"\ntimeout = 30\n\n'
        '[old]\nhost = "127.0.0.1"\nport = 104\nae_title = "OLD"\n'
    )
    data = damage_text(text, rng).encode()
    (folder / "servers.toml").write_bytes(damage(data, rng) if rng.random() < 0.3 else data)
    return plain_trial("servers", lambda: read_servers(folder / "servers.toml"))


# What this program wrote.


@cache
def _finding_files() -> dict[str, bytes]:
    folder = bases.scratch() / "finding"
    folder.mkdir()
    _small_case().finding.save(folder)
    return _files(folder)


@cache
def _small_case():
    """A finding of a small head, with masks, heatmap, measurements and warnings."""
    from dataclasses import dataclass

    from AcuteFindingsLib.detectors import finding as f
    from AcuteFindingsLib.study.notice import Notice
    from AcuteFindingsLib.study.reader import read_study

    study = read_study(
        bases.write_volume(bases.scratch() / "scene-head.nii"), requirements=find_kind("hemorrhage").requirements
    )
    code = f.Code("SCT", "50960005", "Hemorrhage")
    mask = (study.array > 30) & (study.array < 60)
    results = tuple(
        f.SliceResult(s.index, s.position_ras, f"1.2.{s.index}", {"any": 0.5 + s.index / 100}, s.k)
        for s in study.sources
    )
    made = f.Finding(
        detector="hemorrhage",
        model=f.ModelIdentity("test-model", "0.1", "0" * 64, "phantoms"),
        verdict=f.Verdict("positive", 0.97, 0.5, "three or more", "Slices 12 to 18."),
        slices=results,
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=study.ijk_to_ras,
        display_window=(40.0, 80.0),
        positive_runs=((11, 17),),
        masks=(f.Mask("Hemorrhage", mask.astype(np.uint8), code, code, None, (1.0, 0.0, 0.0)),),
        heatmap=f.Heatmap("attention", (255 * mask).astype(np.uint8), study.ijk_to_ras),
        measurements=(f.Measurement("Volume", 14.2, "mL"),),
        warnings=(Notice("thick-slices", "warn", "The slices are thick."),),
    )

    @dataclass
    class Case:
        study: object
        finding: object

    return Case(study, made)


def finding(rng: np.random.Generator, folder: Path) -> Trial:
    """A finding of which one file is damaged."""
    from AcuteFindingsLib.detectors.finding import load_finding

    files = dict(_finding_files())
    name = "finding.json" if rng.random() < 0.7 else list(files)[int(rng.integers(len(files)))]
    is_json = name.endswith(".json")
    files[name] = damage_json_bytes(json.loads(files[name]), rng) if is_json else damage(files[name], rng)
    _write(folder / "out", files)
    return plain_trial(f"finding: {name} damaged", lambda: load_finding(folder / "out" / "finding.json"))


@cache
def _bundle() -> dict[str, bytes]:
    from AcuteFindingsLib.scene.bundle import write_scene

    case = _small_case()
    path, _ = write_scene(case.finding, case.study, bases.scratch() / "scene.mrb")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def scene(rng: np.random.Generator, folder: Path) -> Trial:
    """A Slicer scene of ours of which one member, or the zip itself, is damaged."""
    from AcuteFindingsLib.scene.bundle import load_bundle

    files = dict(_bundle())
    name = next(n for n in files if n.endswith(".mrml"))
    if rng.random() < 0.5:
        name = list(files)[int(rng.integers(len(files)))]
    how = rng.random()
    if how < 0.3:
        files[name] = damage(files[name], rng)
    elif how < 0.7 and name.endswith(".mrml"):
        files[name] = damage_text(files[name].decode().replace('" ', '"\n '), rng).encode()
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    data = out.getvalue() if how < 0.7 else damage(out.getvalue(), rng)
    (folder / "scene.mrb").write_bytes(data)
    return plain_trial(f"scene: {name if how < 0.7 else 'zip'} damaged", lambda: load_bundle(folder / "scene.mrb"))


@cache
def _corrections() -> Path:
    return build_corrections(bases.scratch() / "corrections", count=2)


def corrections(rng: np.random.Generator, folder: Path) -> Trial:
    """An annotator's corrections of which one file is damaged."""
    from AcuteFindingsLib.training.data.load import load_image, load_mask
    from AcuteFindingsLib.training.data.read import read_data

    shutil.copytree(_corrections(), folder / "corrections")
    files = sorted(p for p in (folder / "corrections").rglob("*") if p.is_file())
    path = files[int(rng.integers(len(files)))]
    is_json = path.suffix == ".json"
    path.write_bytes(
        damage_json_bytes(json.loads(path.read_bytes()), rng) if is_json else damage(path.read_bytes(), rng)
    )

    def run() -> None:
        found = read_data("corrections", folder / "corrections", task="hemorrhage")
        for example in found.examples[:6]:
            try:
                load_mask(example, load_image(example).shape)
            except AcuteFindingsError:
                continue

    return plain_trial(f"corrections: {path.name} damaged", run)


SHARES: dict[Callable[[np.random.Generator, Path], Trial], int] = {
    package: 9, source: 5, weights: 4, table: 8, recipe: 5, catalogue: 4, servers: 2, finding: 6, scene: 4,
    corrections: 4,
}  # fmt: skip
