#include "layeravatar/eval/likeness.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <map>

#include "layeravatar/core/error.h"
#include "layeravatar/data/loader.h"
#include "layeravatar/io/colour_names.h"
#include "layeravatar/produce/likeness.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/produce/studio.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::eval {
namespace {

constexpr int kBody = 1, kTop = 2, kHair = 3, kShoes = 4, kBottom = 5;
constexpr std::int64_t kLeast = 3;  // pixels of a row that count

// Of a mask [H, W]: pixels in each row.
std::vector<std::int64_t> row_counts(const torch::Tensor& mask) {
  const torch::Tensor sums = mask.to(torch::kInt64).sum(1).contiguous();
  return {sums.data_ptr<std::int64_t>(), sums.data_ptr<std::int64_t>() + sums.size(0)};
}

// First and last row that count, the latter before the first gap of more than `gap` rows; {-1, -1} where none does.
std::pair<std::int64_t, std::int64_t> run_of(const std::vector<std::int64_t>& counts, std::int64_t gap) {
  std::int64_t first = -1, last = -1;
  for (std::int64_t y = 0; y < static_cast<std::int64_t>(counts.size()); ++y) {
    if (counts[static_cast<std::size_t>(y)] < kLeast) continue;
    if (first < 0) first = y;
    else if (y - last > gap) break;
    last = y;
  }
  return {first, last};
}

// Leftmost and rightmost column of a mask.
std::pair<std::int64_t, std::int64_t> columns_of(const torch::Tensor& mask) {
  const torch::Tensor used = mask.any(0).nonzero();
  if (used.size(0) == 0) return {-1, -1};
  return {used[0].item<std::int64_t>(), used[-1].item<std::int64_t>()};
}

// Not zero between two that are, over the rows first..last: the share of rows with such a gap.
double gap_share(const torch::Tensor& mask, std::int64_t first, std::int64_t last) {
  int gaps = 0;
  for (std::int64_t y = first; y <= last; ++y) {
    const torch::Tensor at = mask[y].nonzero().squeeze(1);
    gaps += at.size(0) > 1 && (at.slice(0, 1) - at.slice(0, 0, -1)).max().item<std::int64_t>() > kLeast ? 1 : 0;
  }
  return last < first ? 0 : gaps / static_cast<double>(last - first + 1);
}

struct Picture {
  torch::Tensor colours, labels;
};

Picture draw(const splat::Gaussians& posed, const geometry::Camera& camera) {
  const splat::RenderOutputs out = produce::render_view(posed, camera, true);
  return {out.full.clamp(0, 1), produce::label_map(out)};
}

Picture view_of(const data::Scene& scene, const std::string& name) {
  for (const data::SceneView& view : scene.views) {
    if (view.name != name) continue;
    const std::int64_t size = view.camera.width;
    Picture out{torch::empty({3, size, size}), torch::empty({size, size}, torch::kUInt8)};
    data::expand_view(view, static_cast<int>(size), out.colours.data_ptr<float>(), out.labels.data_ptr<std::uint8_t>());
    return out;
  }
  throw Error(ErrorKind::kConfig, fmt::format("{}: has no view '{}'", scene.name, name));
}

// What a word or colour of the person's would be called.
std::vector<std::pair<std::string, std::string>> tellable(const io::Attributes& person) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, value] : person)
    if (const auto* words = std::get_if<std::vector<std::string>>(&value))
      for (const std::string& word : *words) out.emplace_back(name, word);
  return out;
}

}  // namespace

Looks looks_of(const torch::Tensor& front, const torch::Tensor& front_labels, const torch::Tensor& back, const torch::Tensor& back_labels) {
  const auto person = run_of(row_counts(front_labels > 0), front_labels.size(0));
  LAV_CHECK(person.first >= 0, "somebody in the picture");
  const auto behind = run_of(row_counts(back_labels > 0), back_labels.size(0));
  const auto place = [](std::int64_t row, const auto& of) { return static_cast<double>(row - of.first) / static_cast<double>(std::max<std::int64_t>(of.second - of.first, 1)); };
  Looks out;
  const torch::Tensor bottom = front_labels == kBottom, top = front_labels == kTop;
  const std::int64_t height = person.second - person.first;
  if (const auto run = run_of(row_counts(bottom), height / 50); run.first >= 0) {
    out.bottom_end = place(run.second, person);
    out.legs_apart = gap_share(bottom, run.second - (run.second - run.first) / 3, run.second);
  }
  if (top.any().item<bool>()) {
    const auto all = columns_of(front_labels > 0), own = columns_of(top);
    out.sleeves = static_cast<double>(own.second - own.first) / static_cast<double>(std::max<std::int64_t>(all.second - all.first, 1));
  }
  if (const auto run = run_of(row_counts(back_labels == kHair), height / 50); run.first >= 0 && behind.first >= 0) out.hair_end = place(run.second, behind);
  for (int label = kBody; label <= kBottom; ++label) {
    torch::Tensor sum = torch::zeros({3});
    double count = 0;
    for (const auto& [colours, labels] : {std::pair{front, front_labels}, std::pair{back, back_labels}}) {
      const torch::Tensor own = (labels == label).to(torch::kFloat32);
      sum += (colours * own).sum({1, 2});
      count += own.sum().item<double>();
    }
    if (count < 20) continue;
    auto& colour = out.colours[static_cast<std::size_t>(label - 1)].emplace();
    for (std::int64_t k = 0; k < 3; ++k) colour[static_cast<std::size_t>(k)] = sum[k].item<double>() / count;
  }
  return out;
}

std::optional<bool> shows(const Looks& l, const std::string& name, const std::string& value) {
  const std::map<std::string, std::size_t> colours = {{"skin-colour", 0}, {"top-colour", 1}, {"hair-colour", 2}, {"shoes-colour", 3}, {"bottom-colour", 4}};
  if (const auto found = colours.find(name); found != colours.end()) {
    const auto& own = l.colours.at(found->second);
    const auto wanted = io::named_colour(value);
    return own && wanted && io::nearest_colour_name(*own) == io::nearest_colour_name(*wanted);
  }
  constexpr double kLongHair = 0.19, kLongSleeves = 0.75;
  const bool short_sleeves = l.sleeves > 0 && l.sleeves < kLongSleeves, long_sleeves = l.sleeves >= kLongSleeves;
  const std::map<std::pair<std::string, std::string>, bool> told = {
      {{"bottom", "skirt"}, l.bottom_end < 0.8 && l.legs_apart < 0.4},
      {{"bottom", "shorts"}, l.bottom_end < 0.8 && l.legs_apart >= 0.4},
      {{"bottom", "jeans"}, l.bottom_end >= 0.8},
      {{"bottom", "leggings"}, l.bottom_end >= 0.8},
      {{"bottom", "trousers"}, l.bottom_end >= 0.8},
      {{"hair", "long"}, l.hair_end > kLongHair},
      {{"hair", "short"}, l.hair_end > 0 && l.hair_end <= kLongHair},
      {{"top", "t-shirt"}, short_sleeves},
      {{"top", "sports-top"}, short_sleeves},
      {{"top", "short-sleeved"}, short_sleeves},
      {{"top", "shirt"}, long_sleeves},
      {{"top", "sweater"}, long_sleeves},
      {{"top", "jacket"}, long_sleeves},
      {{"top", "suit"}, long_sleeves},
      {{"top", "long-sleeved"}, long_sleeves}};
  const auto found = told.find({name, value});
  return found == told.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> usual_requests() {
  return {"bottom=skirt",         "bottom=shorts",        "bottom=trousers",       "bottom=leggings",      "hair=long",
          "hair=short",           "top=t-shirt",          "top=suit",              "top=jacket",           "top=shirt,bottom=skirt,hair=long",
          "top-colour=red",       "top-colour=blue",      "top-colour=green",      "top-colour=black",     "bottom-colour=brown",
          "bottom-colour=purple", "hair-colour=black",    "shoes-colour=black",    "top=t-shirt,top-colour=pink,bottom=shorts", "bottom=skirt,bottom-colour=navy"};
}

Likeness measure_likeness(const LikenessOptions& options, const std::function<void(const std::string&)>& say) {
  const produce::Studio studio = produce::open_studio(options.model);
  produce::set_precision(studio, "auto");
  const torch::NoGradGuard no_grad;
  const std::vector<std::string> requests = options.like.empty() ? usual_requests() : options.like;
  produce::SamplingOptions sampling;
  sampling.guidance = options.guidance;
  for (const std::string& like : requests) {  // refused before the first sample
    sampling.like = like;
    (void)produce::usual_sampling(studio, sampling);
  }
  const auto cameras = geometry::turntable_cameras(studio.config.image_size, 2);
  const auto looks = [&](std::uint64_t seed, const std::string& like, std::vector<io::Image>* cells) {
    sampling.like = like;
    const avatar::Avatar one = produce::sample_avatars(studio, {seed}, sampling)[0];
    const splat::Gaussians posed = produce::pose(studio, produce::decode(studio, one.planes), one.betas, body::default_viewing_pose());
    const Picture front = draw(posed, cameras[0]), back = draw(posed, cameras[1]);
    if (cells != nullptr) cells->push_back(produce::picture(torch::avg_pool2d(front.colours.unsqueeze(0), 2)[0]));
    return looks_of(front.colours, front.labels, back.colours, back.labels);
  };
  const auto all = [](const Looks& l, const std::string& like) {
    const auto parts = produce::requests_in(like);
    return std::all_of(parts.begin(), parts.end(), [&](const auto& part) { return shows(l, part.first, part.second).value_or(true); });
  };
  const int columns = std::min(10, (options.count + static_cast<int>(requests.size()) - 1) / static_cast<int>(requests.size()));
  Likeness out;
  std::vector<io::Image> cells;
  std::map<std::uint64_t, Looks> unasked;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    Likeness::Row row{.like = requests[r]};
    const auto n = static_cast<int>(requests.size());
    row.samples = options.count / n + (static_cast<int>(r) < options.count % n ? 1 : 0);
    std::vector<io::Image> shown;
    for (int i = 0; i < row.samples; ++i) {
      const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
      row.right += all(looks(seed, requests[r], &shown), requests[r]) ? 1 : 0;
      if (!unasked.contains(seed)) unasked[seed] = looks(seed, "", nullptr);
      row.right_unasked += all(unasked[seed], requests[r]) ? 1 : 0;
    }
    shown.resize(static_cast<std::size_t>(columns), shown.empty() ? io::Image{} : io::Image{shown[0].width, shown[0].height, 3, std::vector<std::uint8_t>(shown[0].pixels.size(), 255)});
    if (row.samples > 0) cells.insert(cells.end(), shown.begin(), shown.end());
    say(fmt::format("{}: {} of {}", row.like, row.right, row.samples));
    out.rows.push_back(std::move(row));
  }
  if (!options.sheet.empty()) io::write_png(options.sheet, produce::tile(cells, columns), 9);
  if (options.dataset.empty()) return out;
  const data::Dataset dataset = data::Dataset::open(options.dataset, {});
  const auto people = dataset.attributes();
  std::map<std::pair<std::string, std::string>, Likeness::Agreement> agreement;
  std::vector<Looks> seen;
  for (std::size_t i = 0; i < people.size(); ++i) {
    const data::Scene& scene = dataset.scenes()[i];
    const Picture front = view_of(scene, "000_001"), back = view_of(scene, "180_001");
    seen.push_back(looks_of(front.colours, front.labels, back.colours, back.labels));
    for (const auto& [name, value] : tellable(people[i]))
      if (shows(seen.back(), name, value)) agreement.try_emplace({name, value}, Likeness::Agreement{name, value});
  }
  for (auto& [key, row] : agreement) {
    for (std::size_t i = 0; i < people.size(); ++i) {
      const auto own = tellable(people[i]);
      const bool has = std::find(own.begin(), own.end(), key) != own.end(), looks_so = *shows(seen[i], key.first, key.second);
      ++(has ? row.people : row.others);
      if (looks_so) ++(has ? row.right : row.wrong);
    }
    out.people.push_back(row);
  }
  return out;
}

}  // namespace layeravatar::eval
