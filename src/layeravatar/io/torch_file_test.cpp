#include "layeravatar/io/torch_file.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle_arrays.h"
#include "layeravatar/io/support_test.h"
#include "layeravatar/io/torch_file_for_test.h"

namespace layeravatar::io {
namespace {
using Kind = PickleValue::Kind;
using namespace std::string_literals;

const std::string kSix = [] {
  std::string bytes;
  for (float x = 1; x < 7; ++x) append(bytes, x);
  return bytes;
}();

class TorchFile : public FolderTest {
 protected:
  std::filesystem::path path = folder / "a.pth";

  void write(const std::string& value, const std::map<std::string, std::string>& storages, const std::string& prefix = "archive", int level = 0,
             const std::map<std::string, std::string>& more = {}) {
    ZipOptions options;
    options.level = level;
    ZipWriter zip(path, options);
    zip.add(prefix + "/data.pkl", pickled(value));
    for (const auto& [key, bytes] : storages) zip.add(prefix + "/data/" + key, bytes);
    for (const auto& [name, bytes] : more) zip.add(name, bytes);
    zip.add(prefix + "/version", "3\n");
    zip.commit();
  }

  /// The message behind the file's name; empty when the file is read.
  std::string error() {
    const std::string message = input_error([&] { (void)read_torch_file(path); });
    EXPECT_TRUE(message.empty() || message.starts_with(path.string() + ": ")) << message;
    return message.empty() ? "" : message.substr(path.string().size() + 2);
  }

  std::vector<float> floats(const std::string& value) {
    write(value, {{"0", kSix}});
    return to_floats(read_torch_file(path).array());
  }
};

TEST_F(TorchFile, ViewsOfAStorage) {
  const std::string storage = storage_op("FloatStorage", "0", 6, "cuda:0");
  EXPECT_EQ(floats(tensor_op(storage, 0, {2, 3}, {3, 1})), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(floats(tensor_op(storage, 0, {3, 2}, {1, 3})), (std::vector<float>{1, 4, 2, 5, 3, 6}));  // transposed
  EXPECT_EQ(floats(tensor_op(storage, 3, {3}, {1})), (std::vector<float>{4, 5, 6}));                 // the second row
  EXPECT_EQ(floats(tensor_op(storage, 1, {2}, {3})), (std::vector<float>{2, 5}));                    // the second column
  EXPECT_EQ(floats(tensor_op(storage, 1, {2, 3}, {0, 1})), (std::vector<float>{2, 3, 4, 2, 3, 4}));  // expanded
  EXPECT_EQ(floats(tensor_op(storage, 5, {2, 2}, {0, 0})), (std::vector<float>{6, 6, 6, 6}));
  EXPECT_EQ(floats(tensor_op(storage, 0, {3, 3}, {1, 1})), (std::vector<float>{1, 2, 3, 2, 3, 4, 3, 4, 5}));  // overlapping windows
  EXPECT_EQ(floats(tensor_op(storage, 2, {}, {})), (std::vector<float>{3}));
  EXPECT_EQ(floats(tensor_op(storage, 2, {1, 2, 1}, {99, 2, 77})), (std::vector<float>{3, 5}));  // strides of single elements do not matter
  EXPECT_EQ(floats(tensor_op(storage, 6, {0, 3}, {3, 1})), (std::vector<float>{}));
}

TEST_F(TorchFile, ViewsBeyondTheStorageAreRefused) {
  const std::string start = "member 'archive/data.pkl': corrupt pickle at byte ";
  const auto refused = [&](const std::string& value, const std::string& reason) {
    write(value, {{"0", kSix}});
    const std::string message = error();
    EXPECT_TRUE(message.starts_with(start)) << message;
    EXPECT_NE(message.find(reason), std::string::npos) << message;
  };
  const std::string storage = storage_op("FloatStorage", "0", 6);
  refused(tensor_op(storage, 1, {2, 3}, {3, 1}), "tensor reaches beyond its storage");
  refused(tensor_op(storage, 7, {0}, {1}), "tensor reaches beyond its storage");
  refused(tensor_op(storage, 0, {2, 2}, {INT64_MAX, INT64_MAX}), "tensor reaches beyond its storage");
  refused(tensor_op(storage, INT64_MAX, {2}, {1}), "tensor reaches beyond its storage");
  refused(tensor_op(storage, -1, {2}, {1}), "negative storage offset");
  refused(tensor_op(storage, 5, {2}, {-1}), "negative stride");
  refused(tensor_op(storage, 0, {2, 3}, {1}), "sizes and strides");
  refused(tensor_op(storage, 0, {-2}, {1}), "too large");
  refused(tensor_op(storage, 0, {INT64_MAX, 4}, {0, 0}), "too large");
  refused(tensor_op(storage_op("FloatStorage", "0", 7), 0, {7}, {1}), "storage '0' is too short");
  refused(tensor_op(storage_op("DoubleStorage", "0", 6), 0, {6}, {1}), "storage '0' is too short");
  refused(tensor_op(storage_op("FloatStorage", "0", -1), 0, {1}, {1}), "bad reference to a storage");
  refused(tuple_op({text_op("module"), "N", "N", "N", "N"}) + "Q", "bad reference to a storage");
  refused("NQ", "bad reference to a storage");
  refused(call_op("torch._utils", "_rebuild_tensor_v2", {storage}), "bad arguments of a tensor");
  write(tensor_op(storage_op("FloatStorage", "1", 6), 0, {6}, {1}), {{"0", kSix}});
  EXPECT_EQ(error(), "member 'archive/data/1' is missing");
  write(tensor_op(storage, 0, {1LL << 40}, {0}), {{"0", kSix}});
  EXPECT_NE(error().find("expands too far"), std::string::npos);
  PickleLimits limits;
  limits.array_bytes = 1000;
  std::string many = "](" + storage + "q\1" "0";
  for (int i = 0; i < 1000; ++i) many += tensor_op("h\1", 0, {6}, {1});
  write(many + "e", {{"0", kSix}});
  EXPECT_EQ(read_torch_file(path).size(), 1000U);  // small next to the file
  write("](" + storage + "q\1" "0" + tensor_op("h\1", 0, {20'000}, {0}) + "e", {{"0", kSix}});
  EXPECT_NE(input_error([&] { (void)read_torch_file(path, limits); }).find("expands too far"), std::string::npos);
}

TEST_F(TorchFile, EveryElementType) {
  const std::vector<std::pair<std::string, DType>> types = {
      {"FloatStorage", DType::kF32}, {"HalfStorage", DType::kF16}, {"BFloat16Storage", DType::kBF16}, {"DoubleStorage", DType::kF64},
      {"LongStorage", DType::kI64}, {"IntStorage", DType::kI32}, {"ShortStorage", DType::kI16}, {"CharStorage", DType::kI8},
      {"ByteStorage", DType::kU8}, {"BoolStorage", DType::kBool}};
  for (const auto& [name, dtype] : types) {
    std::string bytes(2 * size_of(dtype), '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i + 1);
    write(tensor_op(storage_op(name, "0", 2), 0, {2}, {1}), {{"0", bytes}});
    const PickleValue v = read_torch_file(path);
    EXPECT_EQ(v.array().dtype, dtype) << name;
    if (dtype == DType::kBool) bytes = "\1\1";
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(v.array().data.data()), v.array().data.size()), bytes) << name;
    write(tensor_op(storage_op(name, "0", 2), 0, {2}, {1}), {{"0", bytes}}, "x", 0, {{"x/byteorder", "big"}});
    const PickleValue swapped = read_torch_file(path);
    EXPECT_EQ(static_cast<char>(swapped.array().data[0]), bytes[size_of(dtype) - 1]) << name;
  }
  // The types without a storage class: bytes, and the type as an argument.
  const std::string untyped = tuple_op({text_op("storage"), global_op("torch.storage", "UntypedStorage"), text_op("0"), text_op("cpu"),
      integer_op(4)}) + "Q";
  write(call_op("torch._utils", "_rebuild_tensor_v3", {untyped, integer_op(0), integers_op({2}), integers_op({1}), "\x89", "N",
      global_op("torch", "uint16")}),
        {{"0", "\1\2\3\4"}});
  EXPECT_EQ(to_integers(read_torch_file(path).array(), ""), (std::vector<std::int64_t>{0x201, 0x403}));
}

TEST_F(TorchFile, SharedStoragesParametersAndAnyPrefix) {
  const std::string storage = storage_op("FloatStorage", "0", 6);
  const std::string whole = call_op("torch._utils", "_rebuild_parameter", {tensor_op("h\1", 0, {6}, {1}), "\x88", "}"});
  const std::string old = call_op("torch._utils", "_rebuild_tensor", {"h\1", integer_op(3), integers_op({3}), integers_op({1})});
  for (const int level : {0, 6}) {
    write(storage + "q\1" "0" + dict_op({{"whole", whole}, {"half", old}}), {{"0", kSix}}, "some name", level);
    const ArrayMap arrays = flatten_arrays(read_torch_file(path), path.string());
    EXPECT_EQ(to_floats(arrays.at("whole")), (std::vector<float>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(to_floats(arrays.at("half")), (std::vector<float>{4, 5, 6}));
  }
}

TEST_F(TorchFile, OtherFilesAreNamed) {
  EXPECT_NE(error().find("cannot open: No such file"), std::string::npos);
  write_file(path, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3."s);
  EXPECT_NE(error().find("in its form before version 1.6"), std::string::npos);
  write_file(path, pickled("N"));
  EXPECT_EQ(error(), "not a file of torch.save; expected a zip archive");
  EXPECT_TRUE(read_pickle_or_torch_file(path).is(Kind::kNone));
  write_file(path, "");
  EXPECT_EQ(error(), "not a zip archive");
  write_npz(path, {{"k", make_array(DType::kF32, {1})}});
  EXPECT_EQ(error(), "not a file of torch.save; expected one member data.pkl, found 0");
  write("N", {}, "a", 0, {{"b/data.pkl", "N."}});
  EXPECT_EQ(error(), "not a file of torch.save; expected one member data.pkl, found 2");
  write("N", {}, "a", 0, {{"a/constants.pkl", ")."}});
  EXPECT_NE(error().find("a TorchScript program"), std::string::npos);
  write("N", {}, "a", 0, {{"a/byteorder", "middle"}});
  EXPECT_EQ(error(), "member 'a/byteorder'; expected little or big");
  write(global_op("os", "system"), {});
  EXPECT_EQ(error(), "member 'archive/data.pkl': refusing to load 'os.system' from a pickle");
}

TEST_F(TorchFile, DamageIsReported) {
  for (const int level : {0, 6}) {
    write(dict_op({{"k", tensor_op(storage_op("FloatStorage", "0", 6), 0, {6}, {1})}}), {{"0", kSix}}, "a", level);
    const std::string whole = read_file(path);
    const auto overwrite = [&](const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; };  // without a flush to the disk
    for (std::size_t n = 0; n < whole.size(); ++n) {
      overwrite(whole.substr(0, n));
      EXPECT_NE(error(), "") << "cut at " << n;
      std::string bytes = whole;
      bytes[n] = static_cast<char>(~bytes[n]);
      overwrite(bytes);
      error();
    }
  }
}

TEST(TorchGolden, CacheEntryOfATrainingRun) {
  const PickleValue entry = read_torch_file(LAV_GOLDEN_DIR "/io/h_cache_scene_0003.pth");
  const ArrayMap expected = read_npz(LAV_GOLDEN_DIR "/io/h_cache16.npz");
  EXPECT_EQ(entry.find("scene_id").integer(), 3);
  EXPECT_EQ(entry.find("scene_name").text(), "0003");
  const Array& code = entry.find("param").find("code_").array();
  EXPECT_EQ(code.dtype, DType::kF16);
  EXPECT_EQ(code.shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(code.data, expected.at("code_f16").data);
  const PickleValue state = entry.find("optimizer").find("state");
  ASSERT_EQ(state.size(), 1U);
  EXPECT_EQ(state.key(0).integer(), 0);
  for (const char* name : {"exp_avg", "exp_avg_sq"}) {
    const Array& moments = state.value(0).find(name).array();
    EXPECT_EQ(moments.dtype, DType::kBF16);
    EXPECT_EQ(to_floats(moments), to_floats(expected.at(std::string(name) + "_bf16_as_f32")));
  }
  EXPECT_EQ(state.value(0).find("step").array().shape, (std::vector<std::int64_t>{}));
  EXPECT_EQ(to_floats(state.value(0).find("step").array()), (std::vector<float>{3}));
  const PickleValue group = entry.find("optimizer").find("param_groups").item(0);
  EXPECT_EQ(group.find("lr").real(), 0.04);
  EXPECT_EQ(group.find("betas").item(1).real(), 0.999);
  EXPECT_FALSE(group.find("amsgrad").boolean());
  EXPECT_TRUE(group.find("fused").is(Kind::kBool));
  EXPECT_TRUE(group.find("foreach").is(Kind::kNone));
  EXPECT_EQ(flatten_arrays(entry, "").count("optimizer.state.0.exp_avg"), 1U);
}

TEST(TorchGolden, FitsAndMasksWrittenByNumPy) {
  struct Expected {
    const char* file;
    const char* key;
    std::vector<std::int64_t> shape;
    float first, last, sum;
  };
  for (const Expected& e : std::vector<Expected>{
           {"t20_smplx_param.pkl", "betas", {1, 10}, -0x1.a6bd68p+0F, -0x1.bea942p-1F, 3.03777F},
           {"t20_smplx_param.pkl", "left_hand_pose", {1, 45}, -0x1.adbdd0p-2F, -0x1.041ff8p-3F, 3.31981F},
           {"t20_smplx_param.pkl", "transl", {1, 3}, 0x1.47ae14p-7F, -0x1.eb851ep-6F, 0.5F},
           {"t20_smplx_param_refine.pkl", "left_hand_pose", {1, 12}, -0x1.7af848p-4F, 0x1.83279ep+0F, -3.27588F},
           {"t20_smplx_param_refine.pkl", "translation", {3}, 0x1.99999ap-4F, 0x1.333334p-2F, 0.6F},
           {"ch_smplx_param.pkl", "body_pose", {1, 63}, 0x1.9dc77ap-6F, 0x1.0420fcp-5F, -1.53026F},
           {"ch_smplx_param.pkl", "global_orient", {1, 3}, 0.0F, 0.0F, 0.0F}}) {
    const PickleValue fit = read_pickle(std::string(LAV_GOLDEN_DIR "/io/") + e.file);
    const Array& array = fit.find(e.key).array();
    EXPECT_EQ(array.dtype, DType::kF32);
    EXPECT_EQ(array.shape, e.shape) << e.file << " " << e.key;
    const auto values = to_floats(array);
    EXPECT_EQ(values.front(), e.first);
    EXPECT_EQ(values.back(), e.last);
    float sum = 0;
    for (const float x : values) sum += x;
    EXPECT_NEAR(sum, e.sum, 1e-5);
  }
  const PickleValue masks = read_pickle(LAV_GOLDEN_DIR "/io/FLAME_masks.pkl");
  EXPECT_EQ(masks.size(), 8U);
  EXPECT_EQ(masks.key(0).text(), "face");
  EXPECT_EQ(masks.find("face").array().dtype, DType::kI64);
  const auto face = to_integers(masks.find("face").array(), "");
  EXPECT_EQ(face.size(), 35U);
  EXPECT_EQ(face.front(), 75);
  EXPECT_EQ(face.back(), 67);
  EXPECT_EQ(to_integers(masks.find("left_ear").array(), ""), (std::vector<std::int64_t>{62, 91}));
}

// Every bit of a real file turned over, every prefix of it.
TEST(TorchGolden, DamagedMasksAreReported) {
  const std::string whole = read_file(LAV_GOLDEN_DIR "/io/FLAME_masks.pkl");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_NE(input_error([&] { (void)parse_pickle(whole.substr(0, n), "a.pkl"); }), "") << n;
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[n] = static_cast<char>(static_cast<unsigned char>(bytes[n]) ^ (1U << bit));
      input_error([&] { (void)flatten_arrays(parse_pickle(bytes, "a.pkl"), "a.pkl"); });
    }
  }
}

std::string folder_from(const char* variable) {
  const char* const value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

bool all_finite(const Array& array) {
  for (const float x : to_floats(array)) {
    if (!std::isfinite(x)) return false;
  }
  return true;
}

TEST(TorchGolden, TinyCheckpointOfThePublicCode) {
  const std::string folder = folder_from("LAYERAVATAR_FIXTURES");
  if (folder.empty()) GTEST_SKIP() << "set LAYERAVATAR_FIXTURES to the folder of a_tiny_checkpoint.pth (7.5 MB, not in the repository)";
  const PickleValue checkpoint = read_torch_file(folder + "/a_tiny_checkpoint.pth");
  EXPECT_GT(checkpoint.find("meta").size(), 0U);
  const ArrayMap state = flatten_arrays(checkpoint.find("state_dict"), "");
  const auto expected = nlohmann::json::parse(read_file(folder + "/a_tiny_checkpoint.json"));
  const std::map<std::string, DType> types = {{"float32", DType::kF32}, {"int32", DType::kI32}, {"int64", DType::kI64}, {"bool", DType::kBool}};
  for (const auto& [key, entry] : expected["state"].items()) {
    ASSERT_TRUE(state.contains(key)) << key;
    const Array& array = state.at(key);
    EXPECT_EQ(array.shape, entry["shape"].get<std::vector<std::int64_t>>()) << key;
    EXPECT_EQ(array.dtype, types.at(entry["dtype"])) << key;
    double sum = 0;
    double size = 1;
    for (const float x : to_floats(array)) {
      sum += x;
      size += std::abs(x);
    }
    EXPECT_NEAR(sum, entry["sum"].get<double>(), 1e-5 * size) << key;
    EXPECT_NEAR(to_floats(array)[0], entry["first"].get<double>(), 1e-6 * (1 + std::abs(entry["first"].get<double>()))) << key;
  }
  EXPECT_EQ(state.size(), expected["state"].size());
  const PickleValue decoder = checkpoint.find("optimizer").find("decoder");
  EXPECT_EQ(decoder.find("state").size(), expected["optimizer_decoder_param_count"].get<std::size_t>());
  EXPECT_EQ(decoder.find("param_groups").item(0).find("params").size(), 16U);
  EXPECT_EQ(flatten_arrays(decoder, "").count("state.0.exp_avg"), 1U);
}

TEST(TorchGolden, DemoCodesAndMotionOfThePublicCode) {
  const std::string folder = folder_from("LAYERAVATAR_OFFICIAL_DEMO");
  if (folder.empty()) GTEST_SKIP() << "set LAYERAVATAR_OFFICIAL_DEMO to the folder demo/ of the public code (not in the repository)";
  for (const char* name : {"0026", "0072", "0179", "1924", "1939"}) {
    const PickleValue code = read_torch_file(folder + "/transfer/scene_" + name + ".pth");
    EXPECT_EQ(code.array().dtype, DType::kF32);
    EXPECT_EQ(code.array().shape, (std::vector<std::int64_t>{12, 128, 384})) << name;
    EXPECT_TRUE(all_finite(code.array())) << name;
  }
  const auto values = to_floats(read_torch_file(folder + "/transfer/scene_0026.pth").array());
  EXPECT_FLOAT_EQ(values[0], -0.006715372F);
  EXPECT_FLOAT_EQ(values[5 * 128 * 384 + 64 * 384 + 200], -0.318666577F);
  EXPECT_FLOAT_EQ(values.back(), -0.348928332F);
  EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), -430.70472, 1e-4);
  EXPECT_FLOAT_EQ(*std::min_element(values.begin(), values.end()), -1.9437147F);
  EXPECT_FLOAT_EQ(*std::max_element(values.begin(), values.end()), 1.3798360F);
  const PickleValue motion = read_pickle(folder + "/ani/emotion_smoothed.pkl");
  const std::vector<std::pair<const char*, std::int64_t>> widths = {{"body_pose", 72}, {"left_hand_pose", 45}, {"right_hand_pose", 45},
      {"jaw_pose", 3}, {"expression", 10}};
  EXPECT_EQ(motion.size(), widths.size());
  for (const auto& [key, width] : widths) {
    const Array& array = motion.find(key).array();
    EXPECT_EQ(array.dtype, key == std::string("expression") ? DType::kF32 : DType::kF64);
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{335, width})) << key;
    EXPECT_TRUE(all_finite(array)) << key;
  }
}

}  // namespace
}  // namespace layeravatar::io
