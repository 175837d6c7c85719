// fit, edit, fits
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/eval/completion.h"
#include "layeravatar/eval/likeness.h"
#include "layeravatar/train/edit_avatar.h"
#include "layeravatar/train/fit_person.h"
#include "layeravatar/train/fit_table.h"

namespace layeravatar::app {
namespace {

constexpr int kInterrupted = 130;

}  // namespace

void add_fit(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("fit", "An avatar from pictures of a person with cameras and SMPL-X parameters: optimisation of its planes with the pack's prior, after guided sampling where asked for, the networks frozen.\n"
                                            "Example: layeravatar fit --images front.png back.png --cameras cameras.json --params smplx_param.npy -o fitted");
  auto o = std::make_shared<train::FitPersonOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--images", o->pictures.images, "pictures, square .png or .jpg on white or with an alpha channel, or one folder of them")->required()->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--cameras", o->pictures.cameras, "a cam_param .json with a matrix for each picture in order, or a folder with <name>.json")->required();
  command->add_option("--params", o->params, "SMPL-X parameters of the person, .npy or the release's .pkl")->required();
  command->add_option("--masks", o->pictures.masks, "labels of the components 0..5: a grey .png for each picture in order, or a folder with <name>.png, or the release's <name>_0.png and <name>_1.png")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--use", o->use, "names of the pictures to fit, with commas; the others are held out and compared (default: all)")->delimiter(',');
  command->add_option("-o,--output", o->output, "folder for avatar and report")->required();
  command->add_option("--steps", o->steps, "steps of the optimisation");
  command->add_option("--guided-steps", o->guided_steps, "steps of guided sampling from noise before it, whose result it begins with (0: it begins with the kinds of garments and the colours that the pictures show)");
  command->add_option("--size", o->size, "pixels of the pictures, a whole part of theirs (0: the pack's)");
  command->add_option("--seed", o->seed, "of the noise of guided sampling");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto files = train::fit_person(*o, [&](const std::string& line) { say(common, line); }, &stop_on_signal());
      if (files.empty()) return kInterrupted;
      report_files(common, files);
      return 0;
    };
  });
}

void add_edit(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("edit", "Change an avatar so that its views look as they were painted, inside masks; the rest, other components and sides that nobody painted stay.\n"
                                             "Example: layeravatar edit --avatar a.safetensors --images view_000.png --masks mask.png --views 0 --component top --colour-only -o edited");
  auto o = std::make_shared<train::EditAvatarOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--avatar", o->avatar, "avatar file")->required();
  command->add_option("--images", o->pictures.images, "painted views, square, or one folder of them")->required()->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--masks", o->pictures.masks, "a picture for each view, white where it was painted, or one folder with pictures of the same names")->required()->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* cameras = command->add_option("--cameras", o->pictures.cameras, "a cam_param .json with a matrix for each picture in order, or a folder with <name>.json");
  command->add_option("--views", o->views, "instead: which of the 36 views of `generate` the pictures are, with commas")->delimiter(',')->excludes(cameras);
  command->add_option("--params", o->params, "SMPL-X parameters of the pose in the pictures (default: the pose of `generate`)");
  command->add_option("--component", o->component, "body, top, hair, shoes or bottom: nothing else changes");
  command->add_flag("--geometry-only", o->geometry_only, "opacity and shape alone, as when something is removed");
  command->add_flag("--colour-only,--color-only", o->colour_only, "colours alone");
  command->add_option("--steps", o->steps, "steps of the optimisation, up to three times as many while the masked parts still come nearer");
  command->add_option("-o,--output", o->output, "folder for the avatar and its views before and after")->required();
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto files = train::edit_avatar(*o, [&](const std::string& line) { say(common, line); }, &stop_on_signal());
      if (files.empty()) return kInterrupted;
      report_files(common, files);
      return 0;
    };
  });
}

namespace {

void add_measure_fit(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("fit", "How near fits to a few views of people come to their unseen views, against fits without the prior and the mean avatar.\n"
                                            "Example: layeravatar measure fit --dataset people");
  auto o = std::make_shared<train::FitTableOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--dataset", o->dataset, "folder of scenes, of people whom the pack was not trained on")->required();
  command->add_option("--views", o->views, "names of the views that are fitted, with commas")->delimiter(',');
  command->add_option("--unseen", o->unseen, "names of the views that are compared, with commas")->delimiter(',');
  command->add_option("--counts", o->counts, "how many of --views, with commas")->delimiter(',');
  command->add_flag("--labels,!--no-labels", o->labelled, "with the scenes' labels");
  command->add_flag("--baseline,!--no-baseline", o->baseline, "optimisation without the prior too");
  command->add_option("--guided-steps", o->guided_steps, "steps of guided sampling")->check(CLI::Range(0, 1000));
  command->add_option("--steps", o->steps, "steps of the optimisation")->check(CLI::Range(0, 100000));
  command->add_option("--guidance", o->guidance, "gain of the guided steps");
  command->add_option("--prior-weight", o->prior_weight, "of the distance to the start in units of what people deviate");
  command->add_option("--denoiser-weight", o->denoiser_weight, "of the distance to what the denoiser makes of the noised planes (0: it is not asked)");
  command->add_option("--seed", o->seed, "of the noise");
  command->add_option("--stride", o->stride, "every n-th person")->check(CLI::Range(1, 100000));
  command->add_option("--first", o->first, "from this one")->check(CLI::Range(0, 100000));
  command->add_option("--sheet", o->sheet, "a picture of the fits, .png");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto rows = train::fit_table(*o, [&](const std::string& line) { say(common, line); });
      if (common.json) {
        auto out = nlohmann::ordered_json::array();
        for (const auto& r : rows)
          out.push_back({{"person", r.scene}, {"views", r.views}, {"fit", r.fit}, {"start", r.start}, {"seen", r.input}, {"without_prior", r.without_prior}, {"mean_avatar", r.mean_avatar}});
        std::puts(out.dump().c_str());
        return 0;
      }
      std::puts(fmt::format("{:10} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8}", "person", "views", "fit", "start", "seen", "no prior", "mean").c_str());
      for (const int count : o->counts) {
        train::FitRow mean{.scene = "mean", .views = count};
        double n = 0;
        const auto line = [](const train::FitRow& r) {
          std::puts(fmt::format("{:10} {:5} {:8.2f} {:8.2f} {:8.2f} {:8.2f} {:8.2f}", r.scene, r.views, r.fit, r.start, r.input, r.without_prior, r.mean_avatar).c_str());
        };
        for (const auto& r : rows)
          if (r.views == count) {
            line(r);
            ++n;
            mean.fit += r.fit, mean.start += r.start, mean.input += r.input, mean.without_prior += r.without_prior, mean.mean_avatar += r.mean_avatar;
          }
        if (n == 0) continue;
        for (double* x : {&mean.fit, &mean.start, &mean.input, &mean.without_prior, &mean.mean_avatar}) *x /= n;
        line(mean);
      }
      return 0;
    };
  });
}

void add_measure_edit(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("edit", "Three edits of generated avatars, a mark on a top, a recoloured bottom and a removed sleeve: PSNR inside and outside of the masks, beside and behind.\n"
                                             "Example: layeravatar measure edit -o edits");
  auto o = std::make_shared<train::EditTableOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("-o,--output", o->output, "folder for pictures");
  command->add_option("--mark", o->mark, "seed of the avatar whose top gets the mark");
  command->add_option("--skirt", o->skirt, "of the one whose bottom is recoloured");
  command->add_option("--sleeve", o->sleeve, "of the one who loses a sleeve");
  command->add_option("--steps", o->steps, "steps of each edit")->check(CLI::Range(1, 100000));
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto rows = train::edit_table(*o, [&](const std::string& line) { say(common, line); });
      if (common.json) {
        auto out = nlohmann::ordered_json::array();
        for (const auto& r : rows)
          out.push_back({{"edit", r.edit}, {"inside", r.inside}, {"inside_before", r.inside_before}, {"beside", r.beside}, {"beside_before", r.beside_before}, {"outside", r.outside},
                         {"outside_beside", r.outside_beside}, {"behind", r.behind}});
        std::puts(out.dump().c_str());
        return 0;
      }
      std::puts(fmt::format("{:8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>15} {:>8}", "edit", "inside", "(before)", "beside", "(before)", "outside", "outside beside", "behind").c_str());
      for (const auto& r : rows)
        std::puts(fmt::format("{:8} {:8.2f} {:8.2f} {:8.2f} {:8.2f} {:8.2f} {:15.2f} {:8.2f}", r.edit, r.inside, r.inside_before, r.beside, r.beside_before, r.outside, r.outside_beside, r.behind).c_str());
      return 0;
    };
  });
}

void add_measure_keep(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("keep", "Samples around a component that is kept: is it as it was, and do they differ elsewhere?\nExample: layeravatar measure keep --count 64");
  auto o = std::make_shared<eval::CompletionOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--component", o->component, "body, top, hair, shoes or bottom");
  command->add_option("--seed", o->seed, "of the avatar whose component is kept; the samples have the following ones");
  command->add_option("--count", o->count, "samples")->check(CLI::Range(1, 10000));
  command->add_option("--sheet", o->sheet, "a picture of the avatar and the first samples, .png");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto r = eval::measure_completion(*o, [&](const std::string& line) { say(common, line); });
      if (common.json) {
        std::puts(nlohmann::ordered_json({{"component", o->component}, {"least_kept", r.least_kept}, {"mean_kept", r.mean_kept}, {"mean_other", r.mean_other}, {"most_alike", r.most_alike}}).dump().c_str());
        return 0;
      }
      std::puts(fmt::format("kept {}: {:.1f} dB at least, {:.1f} on average; elsewhere: {:.1f} dB between samples on average, {:.1f} at most", o->component, r.least_kept, r.mean_kept, r.mean_other, r.most_alike).c_str());
      return 0;
    };
  });
}

void add_measure_like(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("like", "Do samples show what was asked for? Lengths and colours read from their pictures and labels.\n"
                                             "Example: layeravatar measure like --like bottom=skirt --count 20");
  auto o = std::make_shared<eval::LikenessOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--like", o->like, "what is asked for, as in generate; may come several times (default: twenty requests)")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--count", o->count, "samples in all")->check(CLI::Range(1, 100000));
  command->add_option("--seed", o->seed, "of each request's first sample");
  command->add_option("--guidance", o->guidance, "above 1 goes farther towards what is asked for");
  command->add_option("--dataset", o->dataset, "people with attributes.json on whom the reading is tried as well");
  command->add_option("--sheet", o->sheet, "a picture of the samples, a row for each request, .png");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      const auto found = eval::measure_likeness(*o, [&](const std::string& line) { say(common, line); });
      if (common.json) {
        auto rows = nlohmann::ordered_json::array(), people = nlohmann::ordered_json::array();
        for (const auto& r : found.rows) rows.push_back({{"like", r.like}, {"samples", r.samples}, {"right", r.right}, {"right_unasked", r.right_unasked}});
        for (const auto& r : found.people)
          people.push_back({{"attribute", r.name}, {"value", r.value}, {"people", r.people}, {"right", r.right}, {"others", r.others}, {"wrong", r.wrong}});
        std::puts(nlohmann::ordered_json({{"requests", rows}, {"people", people}}).dump().c_str());
        return 0;
      }
      eval::Likeness::Row sum{.like = "all"};
      const auto line = [](const auto& r) { std::puts(fmt::format("{:48} {:5} of {:4}, unasked {:4}", r.like, r.right, r.samples, r.right_unasked).c_str()); };
      for (const auto& r : found.rows) {
        line(r);
        sum.samples += r.samples, sum.right += r.right, sum.right_unasked += r.right_unasked;
      }
      line(sum);
      for (const auto& r : found.people)
        std::puts(fmt::format("people with {}={}: {} of {} look so, of the others {} of {}", r.name, r.value, r.right, r.people, r.wrong, r.others).c_str());
      return 0;
    };
  });
}

}  // namespace

void add_measure(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("measure", "Numbers of fits, edits and kept components with a pack (docs/fit-and-edit.md).");
  command->require_subcommand(1);
  add_measure_fit(*command, common, chosen);
  add_measure_edit(*command, common, chosen);
  add_measure_keep(*command, common, chosen);
  add_measure_like(*command, common, chosen);
}

}  // namespace layeravatar::app
