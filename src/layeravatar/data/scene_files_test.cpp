#include "layeravatar/data/scene_files.h"

#include <algorithm>
#include <fstream>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

class SceneFiles : public FolderTest {
 protected:
  fs::path scene = folder / "0007";
  std::string read_error() {
    return message_of(ErrorKind::kInput, [&] { (void)read_scene(scene, 16); });
  }
};

TEST_F(SceneFiles, ReadsARecordedSceneAsTheReferenceLoader) {
  const fs::path golden = fs::path(LAV_GOLDEN_DIR) / "data";
  for (const std::string name : {"0001", "0004_00007_02_00001"}) {
    const Scene read = read_scene(golden / "tree" / name, 16);
    EXPECT_EQ(read.name, name);
    EXPECT_EQ(body::pose_to_vector(read.params, body::PoseLayout::k189),
              io::to_floats(io::read_npy(golden / (name + "_params.npy"))));
    ASSERT_EQ(read.views.size(), 4U);
    EXPECT_EQ(read.views[2].name, "001_003");
    const auto rows = io::to_floats(io::read_npy(golden / (name + "_cameras.npy")));
    for (std::size_t v = 0; v < 4; ++v) {
      const auto& camera = read.views[v].camera;
      EXPECT_EQ(camera.focal, 5000.0 / 64);
      for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(camera.centre()[k], rows[19 * v + k], 1e-5);
      for (std::size_t k = 0; k < 16; ++k)
        EXPECT_NEAR(camera.camera_from_world[k], rows[19 * v + 3 + k], 2e-6) << v << ' ' << k;
    }
  }
  const Scene one = read_scene(golden / "tree/0001", 16);
  const SceneView& view = one.views[1];  // 000_001: all pixels coloured at random
  ASSERT_EQ(view.width * view.height, 256);
  EXPECT_EQ(view.labels[4 * 16], 1);
  EXPECT_EQ((std::vector<int>(view.colours.begin() + 3 * 64, view.colours.begin() + 3 * 64 + 3)),
            (std::vector<int>{109, 13, 225}));
}

// The parameters in the pickle of the release, with the scale of its calibration file.
TEST_F(SceneFiles, ReadsTheReleasesParametersAsTheReferenceLoader) {
  const fs::path golden = fs::path(LAV_GOLDEN_DIR) / "data";
  for (const std::string name : {"0001", "0004_00007_02_00001"}) {
    fs::remove_all(scene);
    fs::copy(golden / "tree" / name, scene, fs::copy_options::recursive);
    fs::remove(scene / "smplx/smplx_param.npy");
    write_file(scene / "smplx/smplx_param.pkl", read_file(golden / (name + "_smplx_param.pkl")));
    EXPECT_EQ(body::pose_to_vector(read_scene(scene, 16).params, body::PoseLayout::k189),
              io::to_floats(io::read_npy(golden / (name + "_params.npy"))));
  }
  write_file(scene / "smplx/smplx_param.pkl", read_file(fs::path(LAV_GOLDEN_DIR) / "io/t20_smplx_param_refine.pkl"));
  EXPECT_EQ(read_error(), (scene / "smplx/smplx_param.pkl").string() + ": 'transl' is missing");
}

// A view of 1024 x 1024 whose masks the release's own script wrote from the label image.
TEST_F(SceneFiles, ReadsTheReleasesMasksAsItsLabels) {
  const fs::path golden = fs::path(LAV_GOLDEN_DIR) / "data";
  for (const char* part : {"rgb", "seg", "pose", "smplx"}) fs::create_directories(scene / part);
  fs::copy(golden / "tree/0001/smplx/smplx_param.npy", scene / "smplx/smplx_param.npy");
  fs::copy(golden / "tree/0001/pose/000_000.json", scene / "pose/000_000.json");
  fs::copy(golden / "masks/image_000_000.png", scene / "rgb/000_000.png");
  for (const char* name : {"000_000_0.png", "000_000_1.png"}) fs::copy(golden / "masks" / ("seg_" + std::string(name)), scene / "seg" / name);
  const Scene read = read_scene(scene, 1024);
  const io::Image labels = io::read_png(golden / "masks/new_mask_000_000.png");
  std::vector<float> colours(std::size_t{3} * 1024 * 1024);
  std::vector<std::uint8_t> found(std::size_t{1024} * 1024);
  expand_view(read.views.at(0), 1024, colours.data(), found.data());
  std::array<int, 6> seen{};
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i], labels.pixels[i * static_cast<std::size_t>(labels.channels)]) << i;
    ++seen.at(found[i]);
  }
  for (const int pixels : seen) EXPECT_GT(pixels, 0);
}

TEST_F(SceneFiles, ReadsWhatItWrote) {
  write_small_scene(scene, 3);
  const Scene read = read_scene(scene, 16);
  EXPECT_EQ(read.params, small_params());
  ASSERT_EQ(read.views.size(), 3U);
  const auto cameras = geometry::training_cameras(16);
  for (std::size_t v = 0; v < 3; ++v) {
    const SceneView& view = read.views[v];
    EXPECT_EQ(view.name, cameras[v].name);
    for (std::size_t k = 0; k < 16; ++k)
      EXPECT_NEAR(view.camera.camera_from_world[k], cameras[v].camera.camera_from_world[k], 1e-12);
    EXPECT_EQ((std::array{view.x, view.y, view.width, view.height}), (std::array{2, 3, 3, 2}));
    EXPECT_EQ((std::vector<int>(view.labels.begin(), view.labels.end())), (std::vector<int>{1, 2, 3, 4, 5, 0}));
    EXPECT_EQ(view.colours[3 * 4], 50);
    EXPECT_EQ(view.colours[3 * 4 + 1], v);
    EXPECT_EQ(view.colours[3 * 4 + 2], 255);
  }
}

TEST_F(SceneFiles, StoresMasksInTheReleasesChannelOrder) {
  write_small_scene(scene, 1);
  const io::Image first = io::read_png(scene / "seg/000_000_0.png"), second = io::read_png(scene / "seg/000_000_1.png");
  const auto at = [](const io::Image& image, int label) {  // as an RGB reader sees the pixel of that label
    const auto* p = image.pixels.data() + 3 * ((3 + (label - 1) / 3) * 16 + 2 + (label - 1) % 3);
    return std::array<int, 3>{p[0], p[1], p[2]};
  };
  EXPECT_EQ(at(first, 1), (std::array{0, 0, 1}));  // R, G, B = hair, top, body
  EXPECT_EQ(at(first, 2), (std::array{0, 1, 0}));
  EXPECT_EQ(at(first, 3), (std::array{1, 0, 0}));
  EXPECT_EQ(at(first, 4), (std::array{0, 0, 0}));
  EXPECT_EQ(at(second, 3), (std::array{3, 0, 0}));  // R, G, B = label, bottom, shoes
  EXPECT_EQ(at(second, 4), (std::array{4, 0, 1}));
  EXPECT_EQ(at(second, 5), (std::array{5, 1, 0}));
}

TEST_F(SceneFiles, IsWrittenWholeOrNotAtAll) {
  EXPECT_FALSE(scene_is_complete(scene, 16));
  fs::create_directories(scene.string() + ".partial/rgb");
  write_file(scene.string() + ".partial/rgb/left_over.png", "x");  // of an interrupted run
  write_small_scene(scene, 2);
  EXPECT_FALSE(fs::exists(scene.string() + ".partial"));
  EXPECT_FALSE(fs::exists(scene / "rgb/left_over.png"));
  EXPECT_TRUE(scene_is_complete(scene, 16));
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { (void)scene_is_complete(scene, 32); }),
            scene.string() + ": image size = 32, the scene that is there has 16");
  EXPECT_NE(message_of(ErrorKind::kOutput, [&] { write_small_scene(scene, 2); }), "");  // is not replaced
  EXPECT_FALSE(fs::exists(scene.string() + ".partial"));
  const auto size = fs::file_size(scene / "rgb/000_001.png");
  fs::resize_file(scene / "rgb/000_001.png", size - 1);
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)scene_is_complete(scene, 16); }),
            (scene / "rgb/000_001.png").string() + ": expected " + std::to_string(size) + " bytes, found " +
                std::to_string(size - 1));
  write_file(scene / "manifest.json", "[1, 2");
  EXPECT_NE(message_of(ErrorKind::kInput, [&] { (void)scene_is_complete(scene, 16); }), "");
}

TEST_F(SceneFiles, SaysWhatIsMissing) {
  write_small_scene(scene, 2);
  fs::rename(scene / "pose/000_001.json", folder / "kept.json");
  EXPECT_EQ(read_error(), scene.string() + ": view '000_001' has no pose file");
  fs::rename(folder / "kept.json", scene / "pose/000_001.json");
  fs::rename(scene / "seg/000_000_0.png", folder / "kept.png");
  EXPECT_EQ(read_error(), scene.string() + ": view '000_000' has no mask file");
  fs::rename(folder / "kept.png", scene / "seg/000_000_0.png");
  EXPECT_EQ(read_error(), "");
  fs::remove(scene / "rgb/000_000.png");
  fs::remove(scene / "rgb/000_001.png");
  EXPECT_EQ(read_error(), scene.string() + ": expected views in rgb/, found 0");
  fs::remove(scene / "smplx/smplx_param.npy");
  EXPECT_NE(read_error().find("smplx_param.npy: cannot open"), std::string::npos);
}

TEST_F(SceneFiles, SaysWhatIsWrong) {
  write_small_scene(scene, 1);
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { (void)read_scene(scene, 32); }),
            (scene / "rgb/000_000.png").string() + ": expected 32x32, found 16x16");
  const io::Image good_picture = io::read_png(scene / "rgb/000_000.png");
  io::write_png(scene / "rgb/000_000.png", {16, 16, 1, std::vector<std::uint8_t>(256)});
  EXPECT_EQ(read_error(), (scene / "rgb/000_000.png").string() + ": expected 3 or 4 channels, found 1");
  io::write_png(scene / "rgb/000_000.png", good_picture);
  const std::string good_pose = read_file(scene / "pose/000_000.json");
  write_file(scene / "pose/000_000.json", R"({"cam_param": [[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1], [1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]]})");
  EXPECT_EQ(read_error(), (scene / "pose/000_000.json").string() + ": expected 1 camera, found 2");
  write_file(scene / "pose/000_000.json", good_pose);
  const fs::path masks = scene / "seg/000_000_0.png", labels = scene / "seg/000_000_1.png";
  const io::Image good_masks = io::read_png(masks), good_labels = io::read_png(labels);
  const std::size_t top = 3 * (3 * 16 + 3);  // the pixel with label 2
  io::Image bad = good_masks;
  bad.pixels[top + 1] = 255;
  io::write_png(masks, bad);
  EXPECT_EQ(read_error(),
            masks.string() + ": channel 'top' holds value 255; expected 0 or 1 (was the file written as 0/255?)");
  bad = good_masks;
  std::swap(bad.pixels[top - 3], bad.pixels[top - 1]);  // body and hair swapped by a writer that meant RGB
  io::write_png(masks, bad);
  EXPECT_EQ(read_error(), masks.string() + ": channel 'body' contradicts the label 1 at pixel 50");
  io::write_png(masks, good_masks);
  bad = good_labels;
  bad.pixels[top] = 6;
  io::write_png(labels, bad);
  EXPECT_EQ(read_error(), labels.string() + ": channel 'label' holds value 6; expected 0..5");
  io::write_png(labels, {16, 16, 1, std::vector<std::uint8_t>(256)});
  EXPECT_EQ(read_error(), labels.string() + ": expected 3 channels, found 1");
  io::write_png(labels, good_labels);
  io::write_npy(scene / "smplx/smplx_param.npy", io::make_array<float>({3}, std::vector<float>{1, 2, 3}));
  EXPECT_EQ(read_error(),
            (scene / "smplx/smplx_param.npy").string() + ": SMPL-X vector has 3 numbers; expected 175, 179 or 189");
}

TEST_F(SceneFiles, ShrinksColoursByBoxesAndTakesTheFirstLabel) {
  write_small_scene(scene, 1);
  const Scene read = read_scene(scene, 16);
  std::vector<float> colours(3 * 64);
  std::vector<std::uint8_t> labels(64);
  expand_view(read.views[0], 8, colours.data(), labels.data());
  // Small pixel (1, 1) holds (2, 2), (3, 2) white and (2, 3), (3, 3) with labels 1, 2, of red 10, 20.
  EXPECT_NEAR(colours[9], (255 + 255 + 10 + 20) / 4.0 / 255, 1e-6);
  EXPECT_NEAR(colours[64 + 9], (255 + 255 + 0 + 0) / 4.0 / 255, 1e-6);
  EXPECT_NEAR(colours[128 + 9], 1, 1e-6);
  EXPECT_EQ(labels[9], 0);          // of (2, 2)
  EXPECT_EQ(labels[2 * 8 + 1], 4);  // of (2, 4)
  EXPECT_EQ(colours[0], 1);
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { expand_view(read.views[0], 7, colours.data(), labels.data()); }),
            "image size 7 does not divide the data's 16");
}

}  // namespace
}  // namespace layeravatar::data
