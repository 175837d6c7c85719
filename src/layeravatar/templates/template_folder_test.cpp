#include "layeravatar/templates/template_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/official_for_test.h"

namespace layeravatar::templates {
namespace {

namespace fs = std::filesystem;

class TemplateFolder : public ::testing::Test {
 protected:
  fs::path root = fs::temp_directory_path() / ("lav_template_" + std::to_string(::getpid()));
  fs::path folder = root / "cache";
  void SetUp() override { fs::create_directories(root); }
  void TearDown() override { fs::remove_all(root); }

  /// The recorded arrays as the release leaves them, indices as int64.
  void write_recorded() {
    fs::create_directories(folder);
    for (const auto& [name, array] : recorded_template()) io::write_npy(folder / (name + ".npy"), array);
  }
  std::string read_error() {
    try {
      (void)read_template_folder(folder);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      return std::string(e.what()).substr(folder.string().size());
    }
    return "read";
  }
};

TEST_F(TemplateFolder, HasTheTwelveFilesOfTheRelease) {
  write_template_folder(folder, small_template().layers);
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 12U);
  EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator()), 1) << "leftovers";
  for (const auto& [name, want] : recorded_template()) {
    const io::Array found = io::read_npy(folder / (name + ".npy"));
    EXPECT_EQ(found.shape, want.shape) << name;
    EXPECT_EQ(found.dtype, name == "init_faces_smplx_full" ? io::DType::kI32 : want.dtype) << name;
  }
}

TEST_F(TemplateFolder, ReadsWhatItWrites) {
  const LayeredTemplate& t = small_template().layers;
  write_template_folder(folder, t);
  const LayeredTemplate back = read_template_folder(folder);
  EXPECT_EQ(back.blocks, t.blocks);
  EXPECT_EQ(back.positions, t.positions);
  EXPECT_EQ(back.frames, t.frames);
  EXPECT_EQ(back.uvs, t.uvs);
  EXPECT_EQ(back.labels, t.labels);
  EXPECT_EQ(back.faces, t.faces);
  EXPECT_EQ(back.shape_dirs, t.shape_dirs);
  EXPECT_EQ(back.pose_dirs, t.pose_dirs);
  EXPECT_EQ(back.body_weights, t.body_weights);
  EXPECT_EQ(back.face_mask, t.face_mask);
  EXPECT_EQ(back.hands_mask, t.hands_mask);
  EXPECT_EQ(back.outside_mask, t.outside_mask);
  EXPECT_EQ(back.nose_mask, t.nose_mask);
}

TEST_F(TemplateFolder, ReadsTheRecordedFilesWithIndicesOf64Bits) {
  write_recorded();
  const LayeredTemplate t = read_template_folder(folder);
  EXPECT_EQ(t.blocks, small_template().layers.blocks);
  EXPECT_EQ(t.labels, small_template().layers.labels);
  EXPECT_EQ(t.dense_count(), 2004);
}

TEST_F(TemplateFolder, ABodyWithoutPoseDirectionsHasZeros) {
  LayeredTemplate t = small_template().layers;
  t.pose_dirs.clear();
  write_template_folder(folder, t);
  EXPECT_EQ(read_template_folder(folder).pose_dirs, std::vector<float>(486 * 3 * 2004));
}

TEST_F(TemplateFolder, SaysWhatDoesNotFit) {
  const auto message = [&](const std::string& name, const std::function<void(io::Array&)>& spoil) {
    write_recorded();
    io::Array array = recorded_template().at(name);
    spoil(array);
    io::write_npy(folder / (name + ".npy"), array);
    return read_error();
  };
  EXPECT_EQ(message("init_faces_smplx_full", [](auto& a) { a.template at<std::int64_t>()[5] = 2004; }),
            "/init_faces_smplx_full.npy: index 2004; expected < 2004 from init_spdir_smplx_full.npy");
  EXPECT_EQ(message("init_faces_smplx_full", [](auto& a) { a.template at<std::int64_t>()[5] = -1; }),
            "/init_faces_smplx_full.npy: index -1; expected < 2004 from init_spdir_smplx_full.npy");
  EXPECT_EQ(message("init_faces_smplx_full",
                    [](auto& a) {
                      a = io::make_array(io::DType::kF32, {3649, 3});
                    }),
            "/init_faces_smplx_full.npy: expected integers, found f32");
  EXPECT_EQ(message("init_spdir_smplx_full",
                    [](auto& a) {
                      a = io::make_array(io::DType::kF32, {2004, 60});
                    }),
            "/init_spdir_smplx_full.npy; expected (-1, 3, 20), found (2004, 60)");
  EXPECT_EQ(message("init_podir_smplx_full",
                    [](auto& a) {
                      a = io::make_array(io::DType::kF32, {486, 6});
                    }),
            ": array 'init_podir_smplx_full'; expected (486, 6012), found (486, 6)");
  write_recorded();
  fs::remove(folder / "nose_mask_body.npy");
  EXPECT_EQ(read_error(), "/nose_mask_body.npy: cannot open: No such file or directory");
}

TEST_F(TemplateFolder, TruncatedFilesAreRefused) {
  write_recorded();
  for (const auto& [name, array] : recorded_template()) {
    const fs::path file = folder / (name + ".npy");
    const std::string whole = read_file(file);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{5}, std::size_t{60}, whole.size() / 2, whole.size() - 1}) {
      write_file(file, whole.substr(0, size));
      EXPECT_EQ(read_error().rfind("/" + name + ".npy: ", 0), 0U) << name << " " << size;
    }
    write_file(file, whole);
  }
  EXPECT_EQ(read_error(), "read");
}

TEST_F(TemplateFolder, DoesNotReplaceWhatIsThere) {
  fs::create_directories(folder);
  write_file(folder / "mine.txt", "mine");
  try {
    write_template_folder(folder, small_template().layers);
    ADD_FAILURE() << "written";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kOutput);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator()), 1) << "leftovers";
}

}  // namespace
}  // namespace layeravatar::templates
