#include "layeravatar/body/smplx_format.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle_for_test.h"

namespace layeravatar::body {
namespace {

const std::string kGoldenFolder = LAV_GOLDEN_DIR;

const io::ArrayMap& recorded() {
  static const io::ArrayMap arrays = io::read_npz(kGoldenFolder + "/body/i_smplx_format.npz");
  return arrays;
}

struct Source {
  const char* key;
  FitSource source;
};
constexpr Source kSources[] = {{"t20", FitSource::kThuman20}, {"t21", FitSource::kThuman21}, {"ch", FitSource::kCustomHumans}};

/// The recorded input of a conversion as a dict of arrays.
io::ArrayMap recorded_fit(const std::string& key) {
  io::ArrayMap out;
  for (const auto& [name, array] : recorded())
    if (name.starts_with(key + ".in.")) out[name.substr(key.size() + 4)] = array;
  return out;
}

SmplxFit fit_of(const io::ArrayMap& arrays, FitSource source) {
  return fit_from_pickle(io::parse_pickle(io::pickled(arrays), "fit.pkl"), "fit.pkl", source);
}

std::array<double, 3> recorded_centre() {
  const auto values = recorded().at("center").at<double>();
  return {values[0], values[1], values[2]};
}

HandPca recorded_hands() {
  HandPca out;
  out.left_components = io::to_floats(recorded().at("model.hands_componentsl"));
  out.right_components = io::to_floats(recorded().at("model.hands_componentsr"));
  const auto left = io::to_floats(recorded().at("model.hands_meanl")), right = io::to_floats(recorded().at("model.hands_meanr"));
  std::copy(left.begin(), left.end(), out.left_mean.begin());
  std::copy(right.begin(), right.end(), out.right_mean.begin());
  return out;
}

template <class Part>
void expect_part(const Part& found, const std::string& name, double tolerance) {
  const auto want = io::to_floats(recorded().at(name));
  ASSERT_EQ(found.size(), want.size()) << name;
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(found[i], want[i], tolerance) << name << " " << i;
}

void expect_recorded(const PoseParams& found, const std::string& key) {
  const std::string out = key + ".out.";
  expect_part(found.betas, out + "betas", 0);
  expect_part(found.expression, out + "expression", 0);
  expect_part(found.body_pose, out + "body_pose", 0);
  expect_part(found.global_orient, out + "global_orient", 0);
  expect_part(found.jaw, out + "jaw_pose", 0);
  expect_part(found.leye, out + "leye_pose", 0);
  expect_part(found.reye, out + "reye_pose", 0);
  expect_part(found.left_hand, out + "left_hand_pose", 2e-6);  // twelve products of up to 2 in another order
  expect_part(found.right_hand, out + "right_hand_pose", 2e-6);
  expect_part(found.transl, out + "transl", 6e-8);
}

template <class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    return e.what();
  }
  return "accepted";
}

TEST(SmplxFormat, RecordedConversionsOfThreeSources) {
  for (const auto& [key, source] : kSources)
    expect_recorded(unify_fit(fit_of(recorded_fit(key), source), source, recorded_hands(), recorded_centre()), key);
  const SmplxFit fit = fit_of(recorded_fit("t20"), FitSource::kThuman20);
  EXPECT_EQ(fit.scale, static_cast<double>(1.05F));
  EXPECT_EQ((*fit.translation)[2], static_cast<double>(0.3F));
  EXPECT_FALSE(fit.transl);
  EXPECT_EQ(unify_fit(fit, FitSource::kThuman20, recorded_hands(), recorded_centre()).scale, 1.05F);
}

TEST(SmplxFormat, UnifiedPicklesOfTheReleaseAreTheRecordedOutputs) {
  for (const auto& [key, source] : kSources) {
    const PoseParams found = read_unified_params(kGoldenFolder + "/io/" + key + "_smplx_param.pkl");
    expect_recorded(found, key);
    EXPECT_EQ(found.scale, std::string(key) == "t20" ? 1.05F : 1.0F);
  }
}

TEST(SmplxFormat, ByHand) {
  HandPca hands;
  hands.left_components.assign(45 * 45, 0.0F);
  hands.right_components.assign(45 * 45, 0.0F);
  hands.left_components[0 * 45 + 7] = 2;    // component 0 bends number 7
  hands.left_components[11 * 45 + 7] = 10;  // so does component 11, the last that counts
  hands.left_components[12 * 45 + 7] = 1000;
  hands.left_mean.fill(0.5F);
  hands.right_mean.fill(0.25F);
  SmplxFit fit;
  fit.left_hand = {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4};
  fit.right_hand.assign(45, 1.0F);
  fit.global_orient = {1, 2, 3};
  fit.transl = {1, 10, 100};
  const PoseParams thuman = unify_fit(fit, FitSource::kThuman20, hands, {0, 0.35, 0});
  EXPECT_EQ(thuman.left_hand[7], 46.5F);  // 3 * 2 + 4 * 10 + 0.5
  EXPECT_EQ(thuman.left_hand[8], 0.5F);
  EXPECT_EQ(thuman.right_hand[44], 1.25F);
  EXPECT_EQ(thuman.global_orient, (std::array<float, 3>{1, 2, 3}));
  EXPECT_EQ(thuman.transl, (std::array<float, 3>{0, 0.35F, 0}));
  const PoseParams later = unify_fit(fit, FitSource::kThuman21, hands, {0, 0.35, 0});
  EXPECT_EQ(later.global_orient, (std::array<float, 3>{}));
  EXPECT_EQ(later.transl, (std::array<float, 3>{0, 0.35F, 0})) << "the fit's own is overwritten";
  const PoseParams custom = unify_fit(fit, FitSource::kCustomHumans, hands, {0, 0.35, 0});
  EXPECT_EQ(custom.left_hand[7], 46.0F) << "no mean";
  EXPECT_EQ(custom.right_hand[44], 1.0F);
  EXPECT_EQ(custom.transl, (std::array<float, 3>{1, 10.35F, 100}));
}

class FitFiles : public ::testing::Test {
 protected:
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("lav_fit_" + std::to_string(::getpid()) + ".pkl");
  void TearDown() override { std::filesystem::remove(path); }
  /// What is said of the file after its name.
  template <class Read>
  std::string said(const std::string& content, Read&& read) {
    write_file(path, content);
    const std::string text = message_of([&] { read(path); });
    EXPECT_TRUE(text == "accepted" || text.starts_with(path.string() + ": ")) << text;
    return text == "accepted" ? text : text.substr(path.string().size() + 2);
  }
  std::string fit_said(const io::ArrayMap& arrays, FitSource source) {
    return said(io::pickled(arrays), [&](const auto& file) { (void)read_fit(file, source); });
  }
};

TEST_F(FitFiles, SayWhatIsWrongWithAFit) {
  io::ArrayMap fit = recorded_fit("t20");
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "accepted");
  EXPECT_EQ(fit_said(fit, FitSource::kCustomHumans), "'transl' is missing");
  fit["left_hand_pose"] = io::make_array(io::DType::kF32, {1, 6});
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "'left_hand_pose' has 6 numbers; expected 12 or 45");
  fit = recorded_fit("t20");
  fit.erase("translation");
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "'translation' is missing");
  EXPECT_EQ(fit_said(fit, FitSource::kThuman21), "accepted");
  fit = recorded_fit("t20");
  fit["betas"] = io::make_array(io::DType::kF32, {1, 300});
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "'betas' has 300 numbers; expected 10");
  fit = recorded_fit("t20");
  fit["body_pose"] = io::make_array(io::DType::kF64, {1, 21, 3});
  fit["unknown"] = io::make_array(io::DType::kI64, {4});
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "accepted");
  fit["body_pose"].at<double>()[5] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(fit_said(fit, FitSource::kThuman20), "'body_pose' contains non-finite numbers");
  const auto read = [](const auto& file) { (void)read_fit(file, FitSource::kThuman21); };
  EXPECT_EQ(said("no pickle", read), "not a pickle");
  EXPECT_EQ(said(io::pickled("]"), read), "expected a dict of arrays, found list");
  EXPECT_EQ(said(io::pickled(io::dict_op({{"betas", "N"}})), read), "'betas': expected an array, found none");
  EXPECT_EQ(said(io::pickled(io::global_op("os", "system")), read), "refusing to load 'os.system' from a pickle");
  EXPECT_EQ(message_of([&] { (void)read_fit("/nowhere/f.pkl", FitSource::kThuman20); }),
            "/nowhere/f.pkl: cannot open: No such file or directory");
}

TEST_F(FitFiles, SayWhatIsWrongWithAJsonFit) {
  path.replace_extension(".json");
  nlohmann::json fit;
  for (const auto& [name, array] : recorded_fit("ch")) fit[name] = io::to_floats(array);
  fit["note"] = {{"left", "alone"}};
  const auto read = [](const auto& file) { (void)read_fit(file, FitSource::kCustomHumans); };
  EXPECT_EQ(said(fit.dump(), read), "accepted");
  const SmplxFit back = read_fit(path, FitSource::kCustomHumans);
  EXPECT_EQ(back.left_hand, io::to_floats(recorded().at("ch.in.left_hand_pose")));
  EXPECT_NEAR((*back.transl)[1], -0.2, 1e-7);
  fit["betas"] = {fit["betas"]};  // nested like the pickles
  EXPECT_EQ(said(fit.dump(), read), "accepted");
  EXPECT_EQ(said("{\"betas\": [1,\n 2", read).rfind("line 2, column 3: syntax error", 0), 0U);
  EXPECT_EQ(said("{\"betas\": 1e999}", read), "number overflow parsing '1e999'");
  EXPECT_EQ(said("[]", read), "expected an object of number lists, found array");
  EXPECT_EQ(said("{\"betas\": [1, \"2\"]}", read), "'betas': expected numbers, found string");
  EXPECT_EQ(said("{\"betas\": [[[[[1]]]]]}", read), "'betas': expected numbers, found array");
  EXPECT_EQ(said(std::string(1 << 20, '['), read).rfind("line 1, column 1048577: ", 0), 0U);
  fit.erase("transl");
  EXPECT_EQ(said(fit.dump(), read), "'transl' is missing");
}

TEST_F(FitFiles, SayWhatIsWrongWithUnifiedParameters) {
  const auto read = [](const auto& file) { (void)read_unified_params(file); };
  EXPECT_EQ(said(read_file(kGoldenFolder + "/io/t20_smplx_param_refine.pkl"), read), "'transl' is missing");
  io::ArrayMap unified = recorded_fit("t21");  // has transl and hands of 45
  EXPECT_EQ(said(io::pickled(unified), read), "accepted");
  unified["left_hand_pose"] = io::make_array(io::DType::kF32, {1, 12});
  EXPECT_EQ(said(io::pickled(unified), read), "'left_hand_pose' has 12 numbers; run the format conversion first");
  unified["left_hand_pose"] = io::make_array(io::DType::kF32, {1, 44});
  EXPECT_EQ(said(io::pickled(unified), read), "'left_hand_pose' has 44 numbers; expected 12 or 45");
  path.replace_extension(".npy");
  EXPECT_EQ(said(io::format_npy(io::make_array(io::DType::kF32, {188})), read),
            "SMPL-X vector has 188 numbers; expected 175, 179 or 189");
  EXPECT_EQ(said(io::format_npy(io::make_array(io::DType::kF32, {189})), read), "accepted");
}

TEST_F(FitFiles, SayWhatIsWrongWithTheModelsHands) {
  path.replace_extension(".npz");
  const io::NpzReader model(kGoldenFolder + "/body/SMPLX_NEUTRAL.npz");
  io::ArrayMap arrays;
  for (const char* key : {"hands_componentsl", "hands_componentsr", "hands_meanl", "hands_meanr"}) arrays[key] = model.read(key);
  const auto message = [&] {
    io::write_npz(path, arrays);
    return message_of([&] { (void)read_hand_pca(path); }).substr(path.string().size() + 2);
  };
  io::write_npz(path, arrays);
  const HandPca read = read_hand_pca(path);
  EXPECT_EQ(read.right_components, io::to_floats(arrays.at("hands_componentsr")));
  EXPECT_TRUE(std::equal(read.left_mean.begin(), read.left_mean.end(), io::to_floats(arrays.at("hands_meanl")).begin()));
  arrays["hands_meanr"] = io::make_array(io::DType::kF32, {45});
  arrays["hands_meanr"].at<float>()[3] = std::nanf("");
  EXPECT_EQ(message(), "array 'hands_meanr' contains non-finite numbers");
  arrays["hands_componentsr"] = io::make_array(io::DType::kF32, {12, 45});
  EXPECT_EQ(message(), "array 'hands_componentsr'; expected (45, 45), found (12, 45)");
  arrays.erase("hands_componentsl");
  EXPECT_EQ(message(), "array 'hands_componentsl' is missing; is this an SMPL-X v1.1 model?");
}

TEST(Calibration, CentreAndScale) {
  const Calibration c = parse_calibration(read_file(kGoldenFolder + "/data/tree/0004_00007_02_00001/pose/000_001.json"), "f");
  EXPECT_EQ(c.scale, 1.1);
  EXPECT_EQ(c.centre, (std::array<double, 3>{0.01, 0.5, 0.02}));
  EXPECT_EQ(parse_calibration(R"({"center": [0, 1, 2]})", "f").scale, 1.0);
  EXPECT_EQ(message_of([] { (void)parse_calibration("{}", "f"); }), "f: 'center' is missing");
  EXPECT_EQ(message_of([] { (void)parse_calibration(R"({"center": [1]})", "f"); }), "f: 'center' has 1 numbers; expected 3");
}

}  // namespace
}  // namespace layeravatar::body
