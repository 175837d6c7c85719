#include "layeravatar/train/train_config.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/precision.h"
#include "layeravatar/io/toml.h"

namespace layeravatar::train {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kConfig, message); }

// A value in a message. Tables and lists are only named: writing one recurses as deep as the file nests.
std::string shown(const Json& json) {
  if (json.is_structured()) return json.is_array() ? "a list" : "a table";
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

template <class T>
void read_value(T& value, const Json& json, const std::string& where);

template <class Options>
void read_object(Options& options, const Json& json, const std::string& where) {
  if (!json.is_object()) fail(where + ": expected a table, found " + json.type_name());
  std::set<std::string> known;
  Options::visit(options, [&](const std::string& name, auto& value, const char*) {
    known.insert(name);
    if (json.contains(name)) read_value(value, json[name], where + "." + name);
  });
  for (const auto& [key, value] : json.items())
    if (!known.contains(key)) fail(where + "." + key + ": no such setting");
}

template <class T>
void read_value(T& value, const Json& json, const std::string& where) {
  if constexpr (std::is_same_v<T, std::vector<Stage>>) {
    if (!json.is_array()) fail(where + ": expected a list of tables");
    value.clear();
    Stage stage;  // what a stage does not name stays as in the stage before, but for what is done once
    for (const Json& entry : json) {
      read_object(stage, entry, fmt::format("{}[{}]", where, value.size()));
      value.push_back(stage);
      stage.refit_steps = 0;
      stage.fit_prior = false;
      stage.restart_unet = false;
    }
  } else if constexpr (is_list<T>) {
    if (!json.is_array()) fail(fmt::format("{}: expected a list, found {}", where, shown(json)));
    value.clear();
    for (const Json& entry : json) {
      const std::string at = fmt::format("{}[{}]", where, value.size());
      read_value(value.emplace_back(), entry, at);
    }
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (!json.is_number()) fail(fmt::format("{}: cannot use the value {}", where, shown(json)));
    const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                                : json.is_number_integer() && std::in_range<T>(json.get<std::int64_t>());
    if (!fits) {
      const std::string expected = !json.is_number_integer() || json < 0 ? "" : fmt::format(" up to {}", std::numeric_limits<T>::max());
      fail(fmt::format("{}: expected a whole number{}, found {}", where, expected, shown(json)));
    }
    value = json.get<T>();
  } else {
    try {
      value = json.get<T>();
    } catch (const Json::exception&) {
      fail(fmt::format("{}: cannot use the value {}", where, shown(json)));
    }
  }
}

// TOML's dates, inf and nan have no place in JSON.
Json json_of(const toml::node& node, const std::string& where) {
  if (const auto* table = node.as_table()) {
    Json out = Json::object();
    for (const auto& [key, value] : *table)
      out[std::string(key.str())] = json_of(value, fmt::format("{}.{}", where, key.str()));
    return out;
  }
  if (const auto* list = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& value : *list) out.push_back(json_of(value, fmt::format("{}[{}]", where, out.size())));
    return out;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* number = node.as_floating_point(); number && std::isfinite(number->get())) return number->get();
  fail(where + (node.is_floating_point() ? ": cannot use a number that is not finite" : ": cannot use a date"));
}

template <class Options>
Json write_object(const Options& options) {
  Json out = Json::object();
  Options::visit(options, [&](const std::string& name, const auto& value, const char*) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<Stage>>) {
      out[name] = Json::array();
      for (const Stage& stage : value) out[name].push_back(write_object(stage));
    } else {
      out[name] = value;
    }
  });
  return out;
}

template <class T>
void require(bool good, const char* name, const T& value, const char* range) {
  if (!good) fail(fmt::format("{} = {}, must be {}", name, value, range));
}

}  // namespace

void TrainConfig::check() const {
  require(profile == "default" || profile == "official", "profile", profile, "default or official");
  require(iterations > 0, "iterations", iterations, "> 0");
  require(planes_height >= 16 && planes_height <= 1024 && planes_height % 16 == 0, "planes-height", planes_height,
          "a multiple of 16 in 16..1024");
  require(scenes_per_step >= 1 && scenes_per_step <= 64, "scenes-per-step", scenes_per_step, "in 1..64");
  require(views_per_scene >= 2, "views-per-scene", views_per_scene, ">= 2");
  require(loss_coef >= 0, "loss-coef", loss_coef, ">= 0");
  require(unet_base_channels >= 2 && unet_base_channels % 2 == 0, "unet-base-channels", unet_base_channels, "even, >= 2");
  require(!unet_channel_factors.empty(), "unet-channel-factors", unet_channel_factors.size(), "a list");
  require(unet_open >= 0 && unet_open <= 1, "unet-open", unet_open, "in 0..1");
  require(!unet_prior_attributes || unet_prior_rank > 0, "unet-prior-rank", unet_prior_rank, "in 1..4096 with unet-prior-attributes");
  require(unet_prior_rank >= 0 && unet_prior_rank <= 4096, "unet-prior-rank", unet_prior_rank, "in 0..4096");
  require(unet_scenes >= 1, "unet-scenes", unet_scenes, ">= 1");
  diffusion::precision_named(unet_precision);
  require(unet_timestep_power >= 1 && unet_timestep_power <= 10, "unet-timestep-power", unet_timestep_power, "in 1..10");
  require(unet_lr > 0, "unet-lr", unet_lr, "> 0");
  require(decoder_lr > 0, "decoder-lr", decoder_lr, "> 0");
  require(log_every > 0, "log-every", log_every, "> 0");
  require(preview_every >= 0, "preview-every", preview_every, ">= 0");
  require(checkpoint_every > 0, "checkpoint-every", checkpoint_every, "> 0");
  require(keep_checkpoints > 0, "keep-checkpoints", keep_checkpoints, "> 0");
  require(codes_in_memory >= 0, "codes-in-memory", codes_in_memory, ">= 0");
  require(!stages.empty() && stages[0].from == 0, "stage[0].from", stages.empty() ? -1 : stages[0].from, "0");
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Stage& s = stages[i];
    require(i == 0 || s.from > stages[i - 1].from, "stage.from", s.from, "larger than the stage's before");
    require(s.extra_scene_step >= 0 && 4 + s.extra_scene_step <= views_per_scene + 4, "stage.extra-scene-step",
            s.extra_scene_step, "in 0..views-per-scene");
    require(s.refit_steps >= 0 && s.refit_steps <= 100000, "stage.refit-steps", s.refit_steps, "in 0..100000");
    require(s.refit_steps == 0 || planes_height % 8 == 0, "planes-height", planes_height, "a multiple of 8 with refit-steps");
    require(s.code_lr > 0, "stage.code-lr", s.code_lr, "> 0");
    require(s.weights.perceptual >= 0, "stage.perceptual", s.weights.perceptual, ">= 0");
  }
}

const Stage& TrainConfig::stage_at(std::int64_t iteration) const {
  std::size_t at = 0;
  while (at + 1 < stages.size() && stages[at + 1].from <= iteration) ++at;
  return stages[at];
}

double TrainConfig::lr_factor(std::int64_t iteration) const {
  if (iteration < warmup) return 1 - (1 - static_cast<double>(iteration) / static_cast<double>(warmup)) * (1 - 0.001);
  return iteration < halve_lr_at ? 1.0 : 0.5;
}

void apply_json(TrainConfig& config, const std::string& json_text, const std::string& file) {
  Json json;
  try {
    json = Json::parse(json_text);
  } catch (const Json::parse_error& e) {
    fail(fmt::format("{}: not valid JSON (byte {})", file, e.byte));
  } catch (const Json::out_of_range&) {
    fail(file + ": not valid JSON (a number is out of range)");
  }
  read_object(config, json, file);
}

void apply_toml(TrainConfig& config, const std::string& toml_text, const std::string& file) {
  read_object(config, json_of(io::parse_toml(toml_text, file), file), file);
}

void apply_settings(TrainConfig& config, const std::string& text, const std::string& file) {
  const std::string extension = std::filesystem::path(file).extension().string();
  if (extension == ".json") return apply_json(config, text, file);
  if (extension == ".toml") return apply_toml(config, text, file);
  fail(fmt::format("{}: settings are read from .json or .toml, not from '{}'", file, extension));
}

void apply_setting(TrainConfig& config, const std::string& setting) {
  const auto split = setting.find('=');
  if (split == 0 || split == std::string::npos) fail(fmt::format("--set {}: expected key=value", setting));
  std::string key = setting.substr(0, split);
  key.erase(key.find_last_not_of(' ') + 1);
  const std::string value = setting.substr(split + 1);
  toml::table table;
  try {
    table = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    table.insert("value", value);
  }
  read_object(config, Json{{key, json_of(*table.get("value"), "--set " + key)}}, "--set");
}

std::string to_json(const TrainConfig& config) { return write_object(config).dump(2) + "\n"; }

}  // namespace layeravatar::train
