"""`slicer.app`, `slicer.modules` and their managers, around one QApplication."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from native_views import qSlicerLayoutManager
from PySide6.QtCore import Property, QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication


class qSlicerApplication(QApplication):
    """The application object."""

    mrml_scene_changed = Signal(object)
    startupCompleted = Signal()
    vtk_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrml_scene_changed"}

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("AcuteFindingsTests")
        self.setQuitOnLastWindowClosed(False)
        self._folder = tempfile.TemporaryDirectory(prefix="acutefindings-host-")
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, self._folder.name)
        self.testing = False
        self.scene: Any = None
        self.logic: Any = None
        self.layout_manager: Any = None
        self.modules = qSlicerModuleManager()
        self.io = qSlicerCoreIOManager(self)
        self.dicom: Any = None

    def renew(self, scene: Any, application_logic: Any, *, main_window: bool) -> None:
        """Take a new scene, with or without views, or none."""
        if self.layout_manager is not None:
            self.layout_manager.close()
        if self.logic is not None:
            self.logic.SetMRMLScene(None)
        self.scene, self.logic = scene, application_logic
        self.layout_manager = qSlicerLayoutManager(scene, application_logic) if main_window else None

    def mrmlScene(self) -> Any:
        return self.scene

    def applicationLogic(self) -> Any:
        return self.logic

    def layoutManager(self) -> Any:
        return self.layout_manager

    def moduleManager(self) -> Any:
        return self.modules

    def ioManager(self) -> Any:
        return self.io

    coreIOManager = ioManager

    def dicomDatabase(self) -> Any:
        return self.dicom

    def testingEnabled(self) -> bool:
        return self.testing

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"

    def _folder_named(name: str):
        def read(self) -> str:
            folder = Path(self._folder.name, name)
            folder.mkdir(exist_ok=True)
            return str(folder)

        return Property(str, read)

    temporaryPath = _folder_named("temporary")
    cachePath = _folder_named("cache")
    defaultScenePath = _folder_named("scenes")
    slicerHome = _folder_named("home")
    extensionsInstallPath = _folder_named("extensions")
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)
    revision = Property(str, lambda self: "0")
    os = Property(str, lambda self: "linux")
    arch = Property(str, lambda self: "amd64")
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")


class qSlicerModuleManager(QObject):
    """The modules that are loaded."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.loaded: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self.loaded.get(name)


class qSlicerCoreIOManager(QObject):
    """Saves and loads scenes; single nodes through their own storage nodes."""

    newFileLoaded = Signal(object)
    fileSaved = Signal(object)

    def __init__(self, application: qSlicerApplication) -> None:
        super().__init__()
        self._application = application

    def saveScene(self, path: str, _picture: Any, _messages: Any = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": path}, None)

    def saveNodes(self, kind: str, properties: dict, _messages: Any = None, scene: Any = None) -> bool:
        scene, path = scene or self._application.scene, str(properties["fileName"])
        if kind != "SceneFile":
            node = scene.GetNodeByID(properties["nodeID"])
            storage = node.CreateDefaultStorageNode()
            storage.SetFileName(path)
            return bool(storage.WriteData(node))
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        scene.SetURL(path)
        return bool(scene.Commit())

    def loadScene(self, path: str, clear: bool = True, _messages: Any = None) -> bool:
        scene = self._application.scene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def loadNodes(self, kind: str, properties: dict, loaded: Any = None, _messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self.loadScene(path, bool(properties.get("clear", False)))
        if kind != "VolumeFile":
            raise NotImplementedError(f"the test host loads scenes and volumes, not {kind}")
        import slicer

        node = self._application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", Path(path).stem)
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(path)
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(node)
            return False
        if loaded is not None:
            loaded.AddItem(node)
        return True


class ctkDICOMDatabase(QObject):
    """An in-memory DICOM database: `add` files, ask by SOP Instance UID."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, str] = {}

    def add(self, folder: Path) -> None:
        """Index every DICOM file below a folder."""
        import pydicom

        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
                if "SOPInstanceUID" in data:
                    self._files[str(data.SOPInstanceUID)] = str(path)

    def fileForInstance(self, uid: str) -> str:
        return self._files.get(uid, "")

    def instanceValue(self, uid: str, tag: str) -> str:
        return self.fileValue(self.fileForInstance(uid), tag)

    def fileValue(self, path: str, tag: str) -> str:
        import pydicom

        if not path:
            return ""
        group, element = (int(part, 16) for part in tag.split(","))
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return str(data[group, element].value) if (group, element) in data else ""

    isOpen = Property(bool, lambda self: True)
