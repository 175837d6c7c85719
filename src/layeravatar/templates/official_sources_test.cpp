#include "layeravatar/templates/official_sources.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/official_for_test.h"

namespace layeravatar::templates {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  return "accepted";
}

/// A copy of the small inputs that a test may spoil.
class OfficialSourcesTest : public ::testing::Test {
 protected:
  fs::path folder = fs::temp_directory_path() / ("lav_sources_" + std::to_string(::getpid()));
  OfficialPaths paths;
  void SetUp() override {
    fs::create_directories(folder);
    paths = official_paths(folder);
    paths.flame_masks.replace_extension(".json");
    const OfficialPaths from = small_paths();
    for (const auto member : kMembers) write_file(paths.*member, read_file(from.*member));
  }
  void TearDown() override { fs::remove_all(folder); }

  static constexpr fs::path OfficialPaths::*kMembers[] = {&OfficialPaths::segmentation,   &OfficialPaths::flame_masks,
                                                          &OfficialPaths::correspondence, &OfficialPaths::body,
                                                          &OfficialPaths::hair_shoes,     &OfficialPaths::bottom_top};

  /// What is said of the folder's files, without the folder.
  std::string message(const OfficialSizes& sizes = custom_sizes(300)) {
    const std::string text = message_of([&] { (void)read_official_sources(paths, sizes); });
    return text.rfind(folder.string() + "/", 0) == 0 ? text.substr(folder.string().size() + 1) : text;
  }
  void edit_json(const fs::path& file, const std::function<void(json&)>& edit) {
    json root = json::parse(read_file(file));
    edit(root);
    write_file(file, root.dump());
  }
};

TEST_F(OfficialSourcesTest, ReadsTheSmallInputs) {
  const OfficialSources sources = read_official_sources(paths, custom_sizes(300));
  EXPECT_EQ(sources.parts.size(), 25U);
  EXPECT_EQ(sources.parts.at("leftEye"), (std::vector<std::int64_t>{45, 46}));
  EXPECT_EQ(sources.flame_masks.size(), 8U);
  EXPECT_EQ(sources.flame_masks.at("left_ear"), (std::vector<std::int64_t>{62, 91}));
  EXPECT_EQ(sources.smplx_of_flame.size(), 101U);
  EXPECT_EQ(sources.smplx_of_flame[2], 14);
  EXPECT_EQ(sources.body.triangles.size(), 590U);
  EXPECT_EQ(sources.hair_shoes.triangles.size(), 200U);
  EXPECT_EQ(sources.bottom_top.objects.size(), 2U);
  EXPECT_EQ(message({300, 101, {}}), "accepted");
}

TEST_F(OfficialSourcesTest, MissingFiles) {
  for (const auto member : kMembers) {
    const std::string content = read_file(paths.*member);
    fs::remove(paths.*member);
    EXPECT_EQ(message(), (paths.*member).filename().string() + ": cannot open: No such file or directory");
    write_file(paths.*member, content);
  }
}

TEST_F(OfficialSourcesTest, FlameMasks) {
  const std::string whole = read_file(paths.flame_masks);
  const auto after = [&](const std::function<void(json&)>& edit) {
    write_file(paths.flame_masks, whole);
    edit_json(paths.flame_masks, edit);
    return message();
  };
  for (const std::string name : {"face", "forehead", "left_ear", "right_ear", "nose", "scalp"})
    EXPECT_EQ(after([&](json& j) { j.erase(name); }), "FLAME_masks.json: mask '" + name + "' is missing");
  EXPECT_EQ(after([](json& j) { j.erase("lips"); }), "accepted");
  EXPECT_EQ(after([](json& j) { j["face"][3] = 101; }),
            "FLAME_masks.json: mask 'face': vertex id 101; expected 0..100");
  EXPECT_EQ(after([](json& j) { j["other"] = {-1}; }), "FLAME_masks.json: mask 'other': vertex id -1; expected 0..100");
  EXPECT_EQ(after([](json& j) { j["face"][3] = 1.5; }), "FLAME_masks.json: mask 'face' is not a list of integers");
  EXPECT_EQ(
      message_of([] {
        check_flame_masks(
            {{"face", {}}, {"forehead", {}}, {"left_ear", {}}, {"nose", {}}, {"right_ear", {}}, {"scalp", {5023}}},
            5023, "m");
      }),
      "m: mask 'scalp': vertex id 5023; expected 0..5022");
}

TEST_F(OfficialSourcesTest, FlameMasksAsArrays) {
  const VertexSets want = read_flame_masks(paths.flame_masks, 101);
  io::ArrayMap arrays;
  for (const auto& [name, ids] : want)
    arrays[name] = io::make_array<std::int64_t>({static_cast<std::int64_t>(ids.size())}, ids);
  paths.flame_masks.replace_extension(".npz");
  io::write_npz(paths.flame_masks, arrays);
  EXPECT_EQ(read_flame_masks(paths.flame_masks, 101), want);
  arrays["face"] = io::make_array(io::DType::kF32, {4});
  io::write_npz(paths.flame_masks, arrays);
  EXPECT_EQ(message(), "FLAME_masks.npz: mask 'face': expected integers, found f32");
  arrays["face"] = io::make_array(io::DType::kI32, {2, 2});
  io::write_npz(paths.flame_masks, arrays);
  EXPECT_EQ(message(), "FLAME_masks.npz: mask 'face'; expected (-1,), found (2, 2)");
}

TEST_F(OfficialSourcesTest, FlameMasksOfThePickle) {
  const fs::path recorded = fs::path(LAV_GOLDEN_DIR) / "io/FLAME_masks.pkl";
  EXPECT_EQ(read_flame_masks(recorded, 101), read_flame_masks(paths.flame_masks, 101));
  paths.flame_masks = folder / "FLAME_masks.pkl";
  write_file(paths.flame_masks, read_file(recorded).substr(0, 100));
  EXPECT_EQ(message().rfind("FLAME_masks.pkl: corrupt pickle at byte", 0), 0U) << message();
  write_file(paths.flame_masks, std::string("\x80\x02].", 4));
  EXPECT_EQ(message(), "FLAME_masks.pkl: expected a dict of masks, found list");
}

TEST_F(OfficialSourcesTest, Correspondence) {
  EXPECT_EQ(message({300, 5023, {}}), "SMPL-X__FLAME_vertex_ids.npy: expected 5023 entries, found 101");
  io::Array ids = io::read_npy(paths.correspondence);
  ids.at<std::int64_t>()[7] = 300;
  io::write_npy(paths.correspondence, ids);
  EXPECT_EQ(message(), "SMPL-X__FLAME_vertex_ids.npy: entry 7: vertex id 300; expected 0..299");
  ids.at<std::int64_t>()[7] = -1;
  io::write_npy(paths.correspondence, ids);
  EXPECT_EQ(message(), "SMPL-X__FLAME_vertex_ids.npy: entry 7: vertex id -1; expected 0..299");
  io::write_npy(paths.correspondence, io::make_array(io::DType::kF64, {101}));
  EXPECT_EQ(message(), "SMPL-X__FLAME_vertex_ids.npy: expected integers, found f64");
  io::write_npy(paths.correspondence, io::make_array(io::DType::kI64, {101, 1}));
  EXPECT_EQ(message(), "SMPL-X__FLAME_vertex_ids.npy; expected (-1,), found (101, 1)");
}

TEST_F(OfficialSourcesTest, Segmentation) {
  const std::string whole = read_file(paths.segmentation), file = "smplx_vert_segmentation.json: ";
  const auto after = [&](const std::function<void(json&)>& edit) {
    write_file(paths.segmentation, whole);
    edit_json(paths.segmentation, edit);
    return message();
  };
  const json recorded = json::parse(whole);
  for (const auto& [name, ids] : recorded.items()) {
    const bool free = name == "head" || name == "eyeballs";
    EXPECT_EQ(after([&, key = name](json& j) { j.erase(key); }),
              free ? "accepted" : file + "part '" + name + "' is missing");
  }
  EXPECT_EQ(after([](json& j) { j["hips"][0] = 300; }), file + "part 'hips': vertex id 300 out of range");
  EXPECT_EQ(after([](json& j) { j["hips"][0] = -1; }), file + "part 'hips': vertex id -1 out of range");
  EXPECT_EQ(after([](json& j) { j["hips"][0] = 18446744073709551615U; }),
            file + "part 'hips': vertex id 9223372036854775807 out of range");
  EXPECT_EQ(after([](json& j) { j["hips"] = 3; }), file + "part 'hips' is not a list of integers");
  EXPECT_EQ(after([](json& j) { j["hips"][0] = 1.0; }), file + "part 'hips' is not a list of integers");
  EXPECT_EQ(after([](json& j) { j["hips"][0] = "1"; }), file + "part 'hips' is not a list of integers");
  EXPECT_EQ(after([](json& j) { j = json::array(); }), file + "expected an object of vertex lists, found array");
  write_file(paths.segmentation, "{\"hips\": [1,\n 2");
  EXPECT_EQ(message().rfind(file + "line 2, column 3: syntax error", 0), 0U) << message();
}

TEST_F(OfficialSourcesTest, BodyMesh) {
  EXPECT_EQ(message({301, 101, {}}).rfind("body.obj: expected 301 vertices (SMPL-X order), found 300", 0), 0U);
  std::string text = read_file(paths.body);
  write_file(paths.body, "v 0 0 0\n" + text);
  EXPECT_EQ(message(), "body.obj: expected 300 vertices (SMPL-X order), found 301");
  std::size_t end = text.find("\nf ");
  for (int i = 0; i < 30; ++i) end = text.find('\n', end + 1);
  write_file(paths.body, text.substr(0, end));
  EXPECT_EQ(message(), "body.obj: expected more than the 30 faces of the mouth, found 30");
}

TEST_F(OfficialSourcesTest, Meshes) {
  for (const auto& file : {paths.body, paths.hair_shoes, paths.bottom_top}) {
    const std::string whole = read_file(file), name = file.filename().string();
    const std::string line = std::to_string(std::count(whole.begin(), whole.end(), '\n') + 1);
    const auto with = [&](const std::string& more) {
      write_file(file, whole + more);
      return message();
    };
    EXPECT_EQ(with("v 1 x 2\n"), name + ": line " + line + ": cannot read number 'x'");
    EXPECT_EQ(with("f 1/1 2/1 9999/1\n").rfind(name + ": line " + line + ": index 9999 out of range 1..", 0), 0U);
    EXPECT_EQ(with("f 1/1 2/1 3/1 4/1\n"), name + ": line " + line + ": face has 4 corners; expected 3");
    EXPECT_EQ(with("f 1 2 3\n"), name + ": line " + line + ": face without texture coordinates");
    write_file(file, whole);
  }
}

TEST_F(OfficialSourcesTest, ObjectsOfTheThirdMesh) {
  const std::string text = read_file(paths.bottom_top);
  const std::size_t up = text.find("o up\n");
  ASSERT_NE(up, std::string::npos);
  const auto after = [&](const std::string& content) {
    write_file(paths.bottom_top, content);
    return message();
  };
  const auto renamed = [&](const std::string& first, const std::string& second) {
    return "o " + first + text.substr(5, up - 5) + "o " + second + text.substr(up + 4);
  };
  EXPECT_EQ(after(text), "accepted");
  EXPECT_EQ(after(renamed("low", "up")), "accepted");
  EXPECT_EQ(after(renamed("up", "low")), "up_and_low.obj: object 'up' comes before 'low'; indices would be wrong");
  EXPECT_EQ(after(renamed("low", "low")), "up_and_low.obj: object 'low' is there twice");
  EXPECT_EQ(after(renamed("lower", "up")), "up_and_low.obj: object 'lower'; expected objects 'low' and 'up'");
  EXPECT_EQ(after("o camera\n" + text), "accepted") << "an object without faces";
  EXPECT_EQ(after(text.substr(0, up)), "up_and_low.obj: object 'up' is missing");
  EXPECT_EQ(after(text.substr(6)), "up_and_low.obj: a face before the first object; expected objects 'low' and 'up'");
  EXPECT_EQ(after(""), "up_and_low.obj: object 'low' is missing");
}

TEST_F(OfficialSourcesTest, CutFilesAreReadOrRefused) {
  for (const auto member : kMembers) {
    const std::string whole = read_file(paths.*member);
    for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 23) {
      write_file(paths.*member, std::string_view(whole).substr(0, size));
      EXPECT_EQ(message().rfind((paths.*member).filename().string(), 0) == 0, message() != "accepted") << size;
    }
    write_file(paths.*member, whole);
  }
}

TEST_F(OfficialSourcesTest, SpoiledBytesAreReadOrRefused) {
  std::mt19937 random(3);
  for (const auto member : kMembers) {
    const std::string whole = read_file(paths.*member);
    for (int trial = 0; trial < 15; ++trial) {
      std::string spoiled = whole;
      for (int i = 0; i < 4; ++i) spoiled[random() % spoiled.size()] = static_cast<char>(random() % 256);
      write_file(paths.*member, spoiled);
      if (message() != "accepted") continue;
      const OfficialSources sources = read_official_sources(paths, custom_sizes(300));
      EXPECT_EQ(message_of([&] { (void)build_official_template(small_body(), sources, custom_sizes(300)); }),
                "accepted");
    }
    write_file(paths.*member, whole);
  }
}

TEST_F(OfficialSourcesTest, FilesOfAnotherKindAreRefused) {
  const std::string kinds[] = {read_file(paths.body),         read_file(paths.correspondence),
                               read_file(paths.segmentation), read_file(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz"),
                               std::string(1 << 20, '['),     std::string(1 << 16, '\0')};
  for (const auto member : kMembers) {
    const std::string whole = read_file(paths.*member), name = (paths.*member).filename().string();
    for (const std::string& other : kinds) {
      if (other == whole) continue;
      if (member == &OfficialPaths::hair_shoes && other == kinds[0]) continue;  // a mesh like another
      write_file(paths.*member, other);
      EXPECT_EQ(message().rfind(name, 0), 0U) << name << ": " << message();
    }
    write_file(paths.*member, whole);
  }
}

TEST_F(OfficialSourcesTest, AHugeShapeTakesNoMemory) {
  io::write_npy(paths.correspondence, io::make_array(io::DType::kI64, {101}));
  std::string bytes = read_file(paths.correspondence);
  const std::size_t at = bytes.find("(101,)");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 14, "(9999999999,)}");
  write_file(paths.correspondence, bytes);
  EXPECT_EQ(message().rfind("SMPL-X__FLAME_vertex_ids.npy: truncated; expected 79999999992 bytes", 0), 0U) << message();
}

}  // namespace
}  // namespace layeravatar::templates
