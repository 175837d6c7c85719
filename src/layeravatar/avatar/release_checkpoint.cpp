#include "layeravatar/avatar/release_checkpoint.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/release_config.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/templates/template_folder.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {
namespace {

using Kind = io::PickleValue::Kind;
constexpr std::string_view kModule = "module.";
constexpr const char *kMean = "code_activation.running_mean", *kVar = "code_activation.running_var";
constexpr double kVolumeTolerance = 1e-4;
constexpr int kReleaseRows = 128, kReleasePixels = 1024;
// Members of the decoder that are no weights; what lies under a name with a dot at its end, too.
constexpr std::string_view kBuffers[] = {"aabb", "attr_weight", "pcd_label", "select_coord", "init_pcd", "init_rot", "mask_other", "face_mask",
                                         "hands_mask", "outside_mask", "nose_mask", "offset_mask", "deformer.", "renderer."};

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

bool is_buffer(std::string_view name) {
  return std::any_of(std::begin(kBuffers), std::end(kBuffers),
                     [&](std::string_view b) { return b.ends_with('.') ? name.starts_with(b) : name == b; });
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Shapes of what lies under a prefix, the prefix kept; without the decoder's buffers.
Shapes shapes_under(const StateDict& state, const std::string& prefix) {
  Shapes out;
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix); ++it)
    if (!is_buffer(std::string_view(it->first).substr(prefix.size()))) out[it->first] = it->second->shape;
  return out;
}

Shapes without_prefix(const Shapes& shapes, std::size_t length) {
  Shapes out;
  for (const auto& [name, shape] : shapes) out[name.substr(length)] = shape;
  return out;
}

// One import: each step takes what it needs and notes what it used.
class Import {
 public:
  Import(const ReleaseCheckpoint& checkpoint, const CheckpointOptions& options) : in_(checkpoint), options_(options) {}

  ImportedPack run() {
    decoder_prefix_ = averaged_or_not("decoder");
    unet_prefix_ = averaged_or_not("diffusion");
    if (shapes_under(in_.state, decoder_prefix_).empty()) reject(in_.file, "a checkpoint without decoder_ema.* and decoder.*; expected one of the release");
    take_settings();
    take_weights();
    take_statistics();
    take_template_and_body();
    compare();
    leave_the_rest();
    return std::move(out_);
  }

 private:
  // The prefix of a network's weights.
  std::string averaged_or_not(const std::string& network) {
    const std::string tail = network == "diffusion" ? "denoising." : "";
    const std::string averaged = network + "_ema." + tail, plain = network + "." + tail;
    if (!shapes_under(in_.state, averaged).empty() || shapes_under(in_.state, plain).empty()) return averaged;
    report().warnings.push_back(fmt::format("{} has no {}*; {}*, which are not averaged, take their place", in_.file, averaged, plain));
    report().missing.push_back(averaged + "*");
    return plain;
  }

  void take_settings() {
    PackConfig& config = out_.pack.config;
    const TextSettings text = settings_from_text(in_.config);
    config.profile = "official";
    config.provenance = fmt::format("imported from {}", std::filesystem::path(in_.file).filename().string());
    if (!in_.iteration.empty()) config.provenance += ", iteration " + in_.iteration;
    const auto choose = [&](const char* name, int flag, int low, int high, std::optional<int> told, int usual) {
      if (flag != 0 && (flag < low || flag > high)) throw Error(ErrorKind::kConfig, fmt::format("{} = {}, must be in {}..{}", name, flag, low, high));
      const char* const from = flag != 0 ? "as asked for" : told ? "of the checkpoint's configuration" : "of the release";
      const int value = flag != 0 ? flag : told.value_or(usual);
      report().notes.push_back(fmt::format("{} {} ({})", name, value, from));
      return value;
    };
    config.planes_height = choose("planes-height", options_.planes_height, 4, 4096, text.planes_height, kReleaseRows);
    config.image_size = choose("image-size", options_.image_size, 16, 8192, text.image_size, kReleasePixels);
    config.unet_heads = choose("heads of attention", 0, 1, 64, text.heads, PackConfig().unet_heads);
    const Shapes unet = shapes_under(in_.state, unet_prefix_);
    if (unet.empty()) {
      report().warnings.push_back(in_.file + " has no denoiser; the pack cannot generate");
      config = PackConfig::from_json(config.to_json(), in_.file);
      return;
    }
    set_unet_from_shapes(without_prefix(unet, unet_prefix_.size()), in_.file, config);
    std::string channels;
    for (const double factor : config.unet_channel_factors)
      channels += fmt::format("{}{}", channels.empty() ? "" : ", ", static_cast<int>(config.unet_base_channels * factor));
    report().notes.push_back(fmt::format("denoiser: levels of {} channels, {} blocks each", channels, config.unet_resblocks));
  }

  void take_weights() {
    Shapes expected, found = shapes_under(in_.state, decoder_prefix_);
    for (const auto& [name, t] : nn::named_tensors(Decoder())) expected[decoder_prefix_ + name] = t.sizes().vec();
    const Shapes unet = shapes_under(in_.state, unet_prefix_);
    if (!unet.empty())
      for (const auto& [name, shape] : release_unet_shapes(out_.pack.config)) expected[unet_prefix_ + name] = shape;
    found.insert(unet.begin(), unet.end());
    if (const std::string differences = shape_differences(expected, found); !differences.empty()) reject(in_.file, differences);
    take(decoder_prefix_, "decoder", out_.pack.decoder);
    take(unet_prefix_, "denoiser", out_.pack.unet);
  }

  void take(const std::string& prefix, const std::string& what, Tensors& into) {
    for (const auto& [key, shape] : shapes_under(in_.state, prefix)) {
      into[key.substr(prefix.size())] = tensor_of(key);
      use(what, key);
    }
  }

  // Real numbers become float32.
  torch::Tensor tensor_of(const std::string& key) const {
    const torch::Tensor t = tensor::to_tensor(*in_.state.at(key));
    if (!t.is_floating_point()) return t;
    if (!torch::isfinite(t).all().item<bool>()) reject(in_.file, "tensor '" + key + "' contains non-finite numbers");
    return t.to(torch::kFloat32);
  }

  void take_statistics() {
    for (const char* const key : {kMean, kVar})
      if (!in_.state.contains(key)) report().missing.emplace_back(key);
    if (!in_.state.contains(kMean) || !in_.state.contains(kVar)) {
      report().warnings.push_back(in_.file + " has no statistics of the codes; caches of codes cannot be read with this pack as they were meant");
      return;
    }
    for (const char* const key : {kMean, kVar}) {
      io::expect_shape(*in_.state.at(key), {1}, in_.file + ": tensor '" + key + "'");
      use("statistics of the codes", key);
    }
    const torch::Tensor var = tensor_of(kVar).to(torch::kFloat32);
    if (!(var.item<float>() > 0)) reject(in_.file, fmt::format("tensor '{}'; expected a positive number, found {}", kVar, var.item<float>()));
    out_.pack.activation.set_statistics(tensor_of(kMean).to(torch::kFloat32), var);
  }

  // Under the averaged decoder, or else where more is found.
  template <class Find>
  std::pair<std::string, BufferKeys> carried(Find&& find) const {
    const std::string averaged = "decoder_ema.", plain = "decoder.";
    BufferKeys first = find(in_.state, averaged), second = find(in_.state, plain);
    const bool other = !first.complete() && second.found.size() > first.found.size();
    return {other ? plain : averaged, other ? std::move(second) : std::move(first)};
  }

  void take_template_and_body() {
    const auto [template_prefix, template_keys] = carried(template_buffers);
    const auto [body_prefix, body_keys] = carried(body_buffers);
    std::string lacking, asked;
    const auto needs = [&](const std::filesystem::path& given, const char* what, const BufferKeys& keys, const char* flag) {
      if (!given.empty()) {
        report().notes.push_back(fmt::format("{} from {}", what, given.string()));
        report().missing.insert(report().missing.end(), keys.missing.begin(), keys.missing.end());
        left_[fmt::format("{}: the given one is used", what)] = keys.found;
        return;
      }
      for (const std::string& key : keys.found) use(what, key);
      if (keys.complete()) return;
      lacking += fmt::format("{}carries no whole {} (missing: {})", lacking.empty() ? "" : " and ", what, listed(keys.missing));
      asked += fmt::format("{}{}", asked.empty() ? "" : " and ", flag);
    };
    needs(options_.templates, "template", template_keys, "--templates FOLDER");
    needs(options_.smplx, "body", body_keys, "--smplx FILE");
    if (!lacking.empty()) reject(in_.file, lacking + "; give " + asked);
    out_.pack.layers = options_.templates.empty() ? carried_template(in_.state, template_prefix, in_.file)
                                                  : templates::read_template_folder(options_.templates);
    if (options_.smplx.empty()) {
      out_.pack.body = carried_body(in_.state, body_prefix, in_.file);
      for (const std::string& w : body::body_model_warnings(out_.pack.body)) report().warnings.push_back(in_.file + ": " + w);
    } else {
      body::SmplxFile given = body::read_smplx(options_.smplx);
      out_.pack.body = std::move(given.model);
      for (const std::string& w : given.warnings) report().warnings.push_back(options_.smplx.string() + ": " + w);
    }
  }

  // Whether what is used fits what the checkpoint was trained with, as far as it carries that.
  void compare() {
    const templates::LayeredTemplate& t = out_.pack.layers;
    for (const std::string prefix : {"decoder_ema.", "decoder."}) {
      const auto it = in_.state.find(prefix + "pcd_label");
      if (options_.templates.empty() || it == in_.state.end()) continue;
      const auto labels = io::to_integers(*it->second, in_.file + ": array '" + it->first + "'");
      if (!std::equal(labels.begin(), labels.end(), t.labels.begin(), t.labels.end()))
        report().warnings.push_back(fmt::format("{}: its {} labels are not the {} that {} carries; is it another template?", options_.templates.string(),
                                                t.count(), labels.size(), in_.file));
      break;
    }
    const body::WeightVolume ours = body::canonical_volume(out_.pack.body);
    VolumeDifference d = compare_volume(in_.state, "decoder_ema.", in_.file, ours);
    if (d.keys.empty()) d = compare_volume(in_.state, "decoder.", in_.file, ours);
    for (const std::string& key : d.keys) use("skinning volume, to compare with ours", key);
    if (d.weights < 0) {
      report().notes.push_back("skinning volume: not carried, nothing to compare");
    } else {
      const std::string line = fmt::format("skinning volume: largest difference of a weight from ours {:.3g}", d.weights);
      if (d.weights <= kVolumeTolerance) report().notes.push_back(line);
      else report().warnings.push_back(in_.file + ": " + line + fmt::format("; expected at most {:g}; is the body another one?", kVolumeTolerance));
    }
    if (d.box >= 0 && !(d.box <= kVolumeTolerance))
      report().warnings.push_back(fmt::format("{}: skinning volume: its box differs from ours by {:.3g} m; is the body another one?", in_.file, d.box));
  }

  void leave_the_rest() {
    for (const auto& [key, array] : in_.state) {
      if (taken_.contains(key)) continue;
      const auto under = [&, k = std::string_view(key)](std::string_view prefix) { return k.starts_with(prefix); };
      std::string why = "unknown";
      if (under("per_loss.")) why = "perceptual loss, for training";
      else if (under("decoder_ema.")) why = "buffers that follow from others or are not used";
      else if (under("decoder.") || under("diffusion.")) why = "networks that are not averaged, for training";
      for (const auto& [reason, keys] : left_)
        if (std::find(keys.begin(), keys.end(), key) != keys.end()) why = reason;
      report().ignored[why].push_back(key);
    }
    for (const std::string& name : in_.optimiser) report().ignored["optimiser"].push_back("optimizer." + name);
  }

  void use(const std::string& what, const std::string& key) {
    report().used[what].push_back(key);
    taken_.insert(key);
  }
  ImportReport& report() { return out_.report; }

  const ReleaseCheckpoint& in_;
  const CheckpointOptions& options_;
  ImportedPack out_;
  std::string decoder_prefix_, unet_prefix_;
  std::set<std::string> taken_;
  ImportReport::Groups left_;  // what the checkpoint carries but a given file replaces
};

}  // namespace

bool is_release_checkpoint(const io::PickleValue& content) {
  return content.is(Kind::kDict) && content.find("state_dict").is(Kind::kDict);
}

ReleaseCheckpoint open_release_checkpoint(const io::PickleValue& content, const std::string& file) {
  if (!is_release_checkpoint(content)) reject(file, "not a checkpoint; expected a dict with state_dict");
  ReleaseCheckpoint out;
  out.file = file;
  out.content = content;
  const io::PickleValue state = content.find("state_dict");
  for (std::size_t i = 0; i < state.size(); ++i) {
    const io::PickleValue key = state.key(i), value = state.value(i);
    if (!key.is(Kind::kText) || !value.is(Kind::kArray)) continue;
    std::string_view name = key.text();
    if (name.starts_with(kModule)) name.remove_prefix(kModule.size());
    if (!out.state.emplace(name, &value.array()).second) reject(file, fmt::format("state_dict: key '{}' occurs twice", name));
  }
  const auto member = [](const io::PickleValue& dict, std::string_view key) { return dict.is(Kind::kDict) ? dict.find(key) : io::PickleValue(); };
  const io::PickleValue meta = member(content, "meta"), config = member(meta, "config"), iteration = member(meta, "iter");
  if (config.is(Kind::kText)) out.config = config.text();
  if (iteration.is(Kind::kInteger)) out.iteration = std::to_string(iteration.integer());
  const io::PickleValue optimiser = member(content, "optimizer");
  for (std::size_t i = 0; optimiser.is(Kind::kDict) && i < optimiser.size(); ++i)
    if (optimiser.key(i).is(Kind::kText)) out.optimiser.emplace_back(optimiser.key(i).text());
  return out;
}

ImportedPack import_release_checkpoint(const ReleaseCheckpoint& checkpoint, const CheckpointOptions& options) {
  const torch::NoGradGuard no_grad;
  return Import(checkpoint, options).run();
}

}  // namespace layeravatar::avatar
