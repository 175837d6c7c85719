#include "layeravatar/body/smplx_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/json.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::body {
namespace {

constexpr std::size_t kHandComponents = 12, kHandNumbers = 45;

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

/// The numbers under a key, whatever their shape; nothing where the key is missing.
using Numbers = std::function<std::optional<std::vector<double>>(const std::string& key)>;

std::vector<double> need(const Numbers& numbers, const std::string& key, const std::string& file) {
  auto out = numbers(key);
  if (!out) reject(file, fmt::format("'{}' is missing", key));
  if (!std::all_of(out->begin(), out->end(), [](double x) { return std::isfinite(static_cast<float>(x)); }))
    reject(file, fmt::format("'{}' contains non-finite numbers", key));
  return std::move(*out);
}

template <class T, std::size_t N>
void take(std::array<T, N>& out, const Numbers& numbers, const std::string& key, const std::string& file) {
  const std::vector<double> values = need(numbers, key, file);
  if (values.size() != N) reject(file, fmt::format("'{}' has {} numbers; expected {}", key, values.size(), N));
  std::transform(values.begin(), values.end(), out.begin(), [](double x) { return static_cast<T>(x); });
}

std::vector<float> hand(const Numbers& numbers, const std::string& key, const std::string& file) {
  const std::vector<double> values = need(numbers, key, file);
  if (values.size() != kHandComponents && values.size() != kHandNumbers)
    reject(file, fmt::format("'{}' has {} numbers; expected 12 or 45", key, values.size()));
  std::vector<float> out;
  for (const double x : values) out.push_back(static_cast<float>(x));
  return out;
}

std::optional<double> scale_of(const Numbers& numbers, const std::string& file) {
  if (!numbers("scale")) return std::nullopt;
  std::array<double, 1> scale{};
  take(scale, numbers, "scale", file);
  return scale[0];
}

/// What a fit and unified parameters have in common.
template <class Out>
void take_body(Out& out, const Numbers& numbers, const std::string& file) {
  take(out.betas, numbers, "betas", file);
  take(out.expression, numbers, "expression", file);
  take(out.global_orient, numbers, "global_orient", file);
  take(out.body_pose, numbers, "body_pose", file);
  take(out.jaw, numbers, "jaw_pose", file);
  take(out.leye, numbers, "leye_pose", file);
  take(out.reye, numbers, "reye_pose", file);
}

SmplxFit make_fit(const Numbers& numbers, const std::string& file, FitSource source) {
  SmplxFit out;
  take_body(out, numbers, file);
  out.left_hand = hand(numbers, "left_hand_pose", file);
  out.right_hand = hand(numbers, "right_hand_pose", file);
  if (source == FitSource::kCustomHumans || numbers("transl")) take(out.transl.emplace(), numbers, "transl", file);
  if (source == FitSource::kThuman20 || numbers("translation"))
    take(out.translation.emplace(), numbers, "translation", file);
  out.scale = scale_of(numbers, file);
  return out;
}

Numbers numbers_of(const io::PickleValue& value, const std::string& file) {
  using Kind = io::PickleValue::Kind;
  if (!value.is(Kind::kDict)) reject(file, fmt::format("expected a dict of arrays, found {}", io::name_of(value.kind())));
  return [value, file](const std::string& key) -> std::optional<std::vector<double>> {
    if (!value.contains(key)) return std::nullopt;
    const io::PickleValue entry = value.find(key);
    if (entry.is(Kind::kReal) || entry.is(Kind::kInteger)) return std::vector<double>{entry.real()};
    if (!entry.is(Kind::kArray))
      reject(file, fmt::format("'{}': expected an array, found {}", key, io::name_of(entry.kind())));
    const io::Array& array = entry.array();
    if (array.dtype == io::DType::kF64) return std::vector<double>(array.at<double>().begin(), array.at<double>().end());
    const std::vector<float> values = io::to_floats(array);
    return std::vector<double>(values.begin(), values.end());
  };
}

/// Lists of numbers within lists count as one list.
void append(const nlohmann::json& value, const std::string& key, const std::string& file, std::vector<double>& out,
            int depth) {
  if (value.is_array() && depth < 4) {
    for (const auto& entry : value) append(entry, key, file, out, depth + 1);
  } else if (value.is_number()) {
    out.push_back(value.get<double>());
  } else {
    reject(file, fmt::format("'{}': expected numbers, found {}", key, value.type_name()));
  }
}

Numbers numbers_of(const nlohmann::json& root, const std::string& file) {
  if (!root.is_object()) reject(file, fmt::format("expected an object of number lists, found {}", root.type_name()));
  return [&root, file](const std::string& key) -> std::optional<std::vector<double>> {
    const auto at = root.find(key);
    if (at == root.end()) return std::nullopt;
    std::vector<double> out;
    append(*at, key, file, out, 0);
    return out;
  };
}

/// 45 absolute numbers.
std::array<float, kHandNumbers> open_hand(const std::vector<float>& hand, const std::vector<float>& components,
                                          const std::array<float, kHandNumbers>* mean) {
  LAV_CHECK(hand.size() == kHandNumbers || components.size() == kHandNumbers * kHandNumbers, "45 components of 45 numbers");
  std::array<float, kHandNumbers> out{};
  for (std::size_t i = 0; i < kHandNumbers; ++i) {
    double sum = mean != nullptr ? static_cast<double>((*mean)[i]) : 0.0;
    if (hand.size() == kHandNumbers) {
      sum += static_cast<double>(hand[i]);
    } else {
      for (std::size_t c = 0; c < kHandComponents; ++c)
        sum += static_cast<double>(hand[c]) * static_cast<double>(components[c * kHandNumbers + i]);
    }
    out[i] = static_cast<float>(sum);
  }
  return out;
}

}  // namespace

SmplxFit fit_from_pickle(const io::PickleValue& value, const std::string& file, FitSource source) {
  return make_fit(numbers_of(value, file), file, source);
}

SmplxFit parse_fit_json(std::string_view text, const std::string& file, FitSource source) {
  const nlohmann::json root = io::parse_json(text, file);
  return make_fit(numbers_of(root, file), file, source);
}

SmplxFit read_fit(const std::filesystem::path& path, FitSource source) {
  if (path.extension() == ".json") return parse_fit_json(read_file(path), path.string(), source);
  return fit_from_pickle(io::read_pickle(path), path.string(), source);
}

Calibration parse_calibration(std::string_view text, const std::string& file) {
  const nlohmann::json root = io::parse_json(text, file);
  const Numbers numbers = numbers_of(root, file);
  Calibration out;
  take(out.centre, numbers, "center", file);
  out.scale = scale_of(numbers, file).value_or(1.0);
  return out;
}

PoseParams unify_fit(const SmplxFit& fit, FitSource source, const HandPca& hands, const std::array<double, 3>& centre) {
  const bool custom = source == FitSource::kCustomHumans;
  PoseParams out;
  out.betas = fit.betas;
  out.expression = fit.expression;
  out.body_pose = fit.body_pose;
  out.jaw = fit.jaw;
  out.leye = fit.leye;
  out.reye = fit.reye;
  if (source == FitSource::kThuman20) out.global_orient = fit.global_orient;
  out.left_hand = open_hand(fit.left_hand, hands.left_components, custom ? nullptr : &hands.left_mean);
  out.right_hand = open_hand(fit.right_hand, hands.right_components, custom ? nullptr : &hands.right_mean);
  for (std::size_t k = 0; k < 3; ++k)
    out.transl[k] = static_cast<float>(centre[k] + (custom && fit.transl ? (*fit.transl)[k] : 0.0));
  if (fit.scale) out.scale = static_cast<float>(*fit.scale);
  return out;
}

PoseParams unified_from_pickle(const io::PickleValue& value, const std::string& file) {
  const Numbers numbers = numbers_of(value, file);
  PoseParams out;
  take_body(out, numbers, file);
  take(out.transl, numbers, "transl", file);
  const auto absolute = [&](std::array<float, kHandNumbers>& hand_out, const std::string& key) {
    if (hand(numbers, key, file).size() == kHandComponents)
      reject(file, fmt::format("'{}' has 12 numbers; run the format conversion first", key));
    take(hand_out, numbers, key, file);
  };
  absolute(out.left_hand, "left_hand_pose");
  absolute(out.right_hand, "right_hand_pose");
  out.scale = static_cast<float>(scale_of(numbers, file).value_or(1.0));
  return out;
}

PoseParams read_unified_params(const std::filesystem::path& path) {
  if (path.extension() != ".npy") return unified_from_pickle(io::read_pickle(path), path.string());
  const io::Array vector = io::read_npy(path);
  try {
    return pose_from_vector(io::to_floats(vector));
  } catch (const Error& e) {
    reject(path.string(), e.what());
  }
}

}  // namespace layeravatar::body
